/** Options that say what a new sandbox may reach, and with which secrets; shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import type { NetworkSpec } from "../../runtime/types.ts";
import type { NetworkFlagValues, NetworkPlace } from "../network/flag-values.ts";
import { switchFlag } from "./common.ts";

const GROUP = "NETWORK";

/** An option that may be given several times. */
const several = (summary: string, helpValue: string) =>
  Flags.string({ summary, helpValue, helpGroup: GROUP, multiple: true, multipleNonGreedy: true });

export const networkFlags = {
  "allow-net": several("Allow a host, such as api.example.com, *.example.com:443 or 10.0.0.0/8:5432.", "PATTERN"),
  "deny-net": several("Deny a host; wins over all that allows it.", "PATTERN"),
  net: Flags.option({
    summary: "Other hosts to allow: none (the default), a list for development (balanced), or all public ones (open).",
    options: ["none", "balanced", "open"] as const,
    helpGroup: GROUP,
  })(),
  "net-file": Flags.string({ summary: "Rules from a policy file.", helpValue: "FILE", helpGroup: GROUP }),
  rule: several("Allow requests by a rule in JavaScript.", "EXPRESSION"),
  secret: several("Let the sandbox use a secret towards a host.", "NAME@HOST"),
  hook: Flags.string({
    summary: "Module that looks at each request and response.",
    helpValue: "FILE",
    helpGroup: GROUP,
  }),
  inspect: switchFlag({ summary: "Read every connection that can be read.", helpGroup: GROUP }),
  "on-leak": Flags.option({
    summary: "What to do when a secret's placeholder is on its way to another host (block).",
    options: ["block", "report", "pass"] as const,
    helpGroup: GROUP,
  })(),
  resolve: several("Dial this address for a host and port.", "HOST:PORT:ADDRESS"),
  "ca-file": several("Trust these roots upstream, too.", "FILE"),
};

/**
 * The network that the options describe; `undefined` if there are none.
 *
 * @throws SbxError `usage`, `config_invalid` for a policy file
 */
export async function readNetwork(flags: NetworkFlagValues, place: NetworkPlace): Promise<NetworkSpec | undefined> {
  const names = Object.keys(networkFlags) as (keyof NetworkFlagValues)[];
  if (names.every((name) => flags[name] === undefined || flags[name] === false)) return undefined;
  // Most sandboxes have none of it, and start-up time counts.
  const { planNetwork } = await import("../network/plan.ts");
  return planNetwork(flags, place);
}
