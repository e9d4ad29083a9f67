/** What a sandbox may reach, in the words of the command line's options: programs need not write parsed rules. */
import { buildPolicy, draftRule } from "../policy/build-policy.ts";
import { checkExpression } from "../policy/expression.ts";
import { parseSecretHost } from "../policy/secret-host.ts";
import type { NetMode, RuleDraft, RuleSource, Verdict } from "../policy/spec.ts";
import type { NetworkSpec } from "../runtime/types.ts";

export interface NetworkWish {
  /** Hosts, such as `api.example.com`, `*.example.com:443` or `10.0.0.0/8:5432`. */
  allow?: readonly string[];
  /** Wins over all that allows. */
  deny?: readonly string[];
  /** Other hosts: none (the default), a list for development, or all public ones. */
  preset?: NetMode;
  /** Rules in JavaScript: a request is allowed where one is true. */
  expressions?: readonly string[];
  /**
   * By name, the hosts that each is for; `null` for those that it was stored with. The sandbox has a placeholder. The
   * value is the stored one, or else the variable of this name in the `environment` given to `create`.
   */
  secrets?: Readonly<Record<string, readonly string[] | null>>;
  /** What happens to a placeholder on its way to another host; it is blocked if absent. */
  onLeak?: NetworkSpec["onLeak"];
  /** Absolute path of a module that sees each request and response. */
  hookPath?: string;
  /** Read every connection that can be read. */
  inspect?: boolean;
}

const SOURCE: RuleSource = { kind: "api" };

/** The network of a {@link SandboxSpec}. @throws SbxError `usage` for what does not parse */
export function network(wish: NetworkWish): NetworkSpec {
  const drafts = (verdict: Verdict, patterns: readonly string[] = []): RuleDraft[] =>
    patterns.map((pattern) => draftRule(verdict, pattern, SOURCE));
  for (const text of wish.expressions ?? []) checkExpression(text);
  return {
    policy: buildPolicy({
      mode: wish.preset ?? "none",
      rules: [...drafts("allow", wish.allow), ...drafts("deny", wish.deny)],
      expressions: (wish.expressions ?? []).map((text) => ({ text, source: SOURCE })),
    }),
    secrets: Object.entries(wish.secrets ?? {}).map(([name, hosts]) => ({
      name,
      hosts: hosts === null ? null : hosts.map(parseSecretHost),
    })),
    onLeak: wish.onLeak ?? "block",
    inspect: wish.inspect === true,
    hookPath: wish.hookPath ?? null,
    resolve: [],
    extraRootsPem: [],
  };
}
