/** What a revision may reach: everything public, or what the sandbox that it comes from may reach. */
import { buildPolicy, draftRule } from "../../../policy/build-policy.ts";
import type { RevisionNetwork } from "../../../store/apps/app-documents.ts";
import { SbxError } from "../../errors.ts";
import type { NetView } from "../../network.ts";
import type { NetworkSpec } from "../../types.ts";

/** Of files that come without a sandbox, as the published service has it. */
export const OPEN_NETWORK: RevisionNetwork = { mode: "open", rules: [], secrets: [], onLeak: "pass" };

/**
 * The network of a sandbox, for its revisions.
 *
 * @throws SbxError `unsupported` for what could only be carried over in part: a revision must not reach more than what
 * was tried
 */
export function carryNetwork(view: NetView): RevisionNetwork {
  if (view.hook !== null) throw notCarried("a hook (--hook)");
  const rules = view.rules.flatMap(({ verdict, kind, text, source }) => {
    // Those of the mode come with the mode.
    if (source.kind === "preset" || source.kind === "default") return [];
    if (kind !== "host" || !isPattern(text)) throw notCarried(`the rule ${JSON.stringify(text)}`);
    return [{ verdict, pattern: text }];
  });
  return { mode: view.mode, rules, secrets: view.secrets.map(({ name }) => name), onLeak: view.onLeak };
}

/** @param stored names of secrets that have a value here: the others were given with the sandbox, and are gone */
export function networkOf({ mode, rules, secrets, onLeak }: RevisionNetwork, stored: ReadonlySet<string>): NetworkSpec {
  const drafts = rules.map(({ verdict, pattern }) => draftRule(verdict, pattern, { kind: "api" }));
  return {
    policy: buildPolicy({ mode, rules: drafts, expressions: [] }),
    secrets: secrets.filter((name) => stored.has(name)).map((name) => ({ name, hosts: null })),
    ...{ onLeak, inspect: false, hookPath: null, resolve: [], extraRootsPem: [] },
  };
}

/** Whether a rule is one of a host alone, without methods or paths. */
function isPattern(text: string): boolean {
  try {
    draftRule("allow", text, { kind: "api" });
    return true;
  } catch {
    return false; // Its grammar is that of a file of rules.
  }
}

function notCarried(what: string): SbxError {
  return new SbxError("unsupported", `the sandbox has ${what}, which a revision cannot have`, {
    hint: "deploy from a sandbox whose network is made of --net, --allow-net and --deny-net alone",
  });
}
