/**
 * What a sandbox may reach, as plain data: it travels in a launch, over the supervisor's socket and into `sbx net show`.
 * Everything here has been parsed; nothing of it is a secret.
 */

/** What happens to a host that no rule names. `balanced` is `none` and a printable list of hosts. */
export type NetMode = "none" | "balanced" | "open";

export type Verdict = "allow" | "deny";

/** Where a rule was written, for `sbx net show` and for every denial. */
export type RuleSource =
  | { kind: "default" }
  | { kind: "preset"; name: NetMode }
  /** An option of the command that made the sandbox, such as `--allow-net`. */
  | { kind: "option"; option: string }
  | { kind: "file"; path: string; line: number }
  /** `sbx net allow` or `sbx net deny` on the running sandbox, epoch ms. */
  | { kind: "command"; at: number }
  /** The published API (`allow_net`). */
  | { kind: "api" };

export interface RuleSpec {
  /** Unique in its policy and stable for the sandbox's life, such as `r3`. */
  id: string;
  verdict: Verdict;
  /**
   * Canonical: a name in lower-case A-labels without a final dot, `*.` and such a name, `*`, an IPv4 or IPv6 address
   * (RFC 5952, without brackets), or a CIDR range.
   */
  host: string;
  /** `null`: every port. */
  ports: readonly { first: number; last: number }[] | null;
  /** Upper case; `null`: every method, and whatever is not HTTP. */
  methods: readonly string[] | null;
  /** Globs over the decoded path; `null`: every path, and whatever is not HTTP. */
  paths: readonly string[] | null;
  source: RuleSource;
}

/** A rule that is not yet part of a policy. */
export type RuleDraft = Omit<RuleSpec, "id">;

/** A rule in JavaScript over one request (`--rule`): the request is allowed where it is true. Runs in the hook process. */
export interface ExpressionSpec {
  id: string;
  text: string;
  source: RuleSource;
}

export type ExpressionDraft = Omit<ExpressionSpec, "id">;

export interface PolicySpec {
  mode: NetMode;
  /** In the order written. A deny rule that matches wins over every allow rule. */
  rules: readonly RuleSpec[];
  expressions: readonly ExpressionSpec[];
}

/** A host that a secret belongs to. */
export interface SecretHost {
  /** As {@link RuleSpec.host}, but never `*` and never a range of addresses. */
  host: string;
  /** `null`: every port. */
  port: number | null;
  /** `http` only where the user wrote it: the value then crosses the network in clear. */
  scheme: "http" | "https";
}

/** A host and a port that the guest wants to reach. */
export interface ConnectionTarget {
  /** Canonical name, or an address where the guest dialled one that no name stands behind. */
  host: string;
  port: number;
}

export interface RequestTarget extends ConnectionTarget {
  scheme: "http" | "https";
  method: string;
  /** Path and query as the guest sent them, beginning with `/` (or `*`). */
  target: string;
}

/** What was decided, and everything that is told about it: to the guest, to the audit log, and by `sbx net check`. */
export interface Decision {
  verdict: Verdict;
  /** The rule that decided; `null` where none matched and the mode decided. */
  rule: { id: string; text: string; source: RuleSource } | null;
  /** One sentence for a person, without a final stop. */
  reason: string;
  /** Words of the sbx command that would allow it, the sandbox's name as `SANDBOX`; `null` where none would. */
  fix: readonly string[] | null;
}
