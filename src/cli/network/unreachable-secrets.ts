/** Secrets that are of no use: their hosts are not among those that the sandbox may reach. */
import { extendPolicy } from "../../policy/build-policy.ts";
import { Policy } from "../../policy/policy.ts";
import { presetRules } from "../../policy/presets.ts";
import { renderSecretHost } from "../../policy/secret-host.ts";
import { renderHostPattern } from "../../policy/render.ts";
import type { Decision, RuleSpec, SecretHost } from "../../policy/spec.ts";
import type { NetworkSpec } from "../../runtime/types.ts";

const PORTS = { http: 80, https: 443 } as const;

/**
 * A sentence for each host that cannot be reached.
 *
 * @param storedHosts those of a secret that was asked for without any
 */
export function describeUnreachable(
  { policy: spec, secrets }: NetworkSpec,
  storedHosts: (name: string) => readonly SecretHost[],
): string[] {
  const policy = new Policy(extendPolicy(spec, presetRules(spec.mode)));
  return secrets.flatMap(({ name, hosts }) =>
    (hosts ?? storedHosts(name)).flatMap((host) => {
      const denial = findDenial(policy, host);
      if (denial === undefined) return [];
      const what = `the secret ${name} is for ${renderSecretHost(host)}, which the sandbox may not reach`;
      // Where a rule denies it, another one that allows it would not help.
      return denial.fix === null ? `${what}: ${denial.reason}` : `${what}; add --allow-net '${patternFor(host)}'`;
    }),
  );
}

function patternFor({ host, port }: SecretHost): string {
  return renderHostPattern(host, port === null ? null : [{ first: port, last: port }]);
}

/** Why nothing of it can be reached; `undefined` if something can. A wildcard counts if a name below it can be. */
function findDenial(policy: Policy, { host, port, scheme }: SecretHost): Decision | undefined {
  const name = host.replace(/^\*\./, "any.");
  const decision = policy.decideConnection({ host: name, port: port ?? PORTS[scheme] });
  if (decision.verdict === "allow") return undefined;
  // Any port will do where the secret is for any: `--allow-net api.example.com:8443`.
  if (port === null && policy.decideName(name).verdict === "allow") return undefined;
  const isBelow = host !== name && policy.spec.rules.some((rule) => allowsBelow(rule, host));
  return isBelow ? undefined : decision;
}

function allowsBelow({ verdict, host }: RuleSpec, wildcard: string): boolean {
  return verdict === "allow" && host.endsWith(wildcard.slice(1));
}
