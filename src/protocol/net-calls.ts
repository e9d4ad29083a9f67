/**
 * Calls about the network over a supervisor's Unix socket (0600, its user's alone): JSON bodies both ways. The server
 * parses what it is sent with the schemas here, all of them bounded. Errors are `{ code, message }` with a status of
 * 400 or above, as everywhere on that socket.
 *
 *     PUT  /sbx/v1/secrets     SecretsCall  → SecretsAnswer     values, proxies, roots; later: new values only
 *     GET  /sbx/v1/net                      → NetView
 *     GET  /sbx/v1/net/denied               → NetDenial[]       asked after every command: opens nothing
 *     POST /sbx/v1/net/check   CheckCall    → CheckAnswer
 *     POST /sbx/v1/net/rules   RulesCall    → RulesAnswer
 */
import * as z from "zod/mini";
import type { Decision, NetMode, RuleSource, Verdict } from "../policy/spec.ts";
import type { LeakActionName, SecretHostRecord } from "./net-launch.ts";
import { secretValueFault } from "./secret-value.ts";

export const SECRETS_TARGET = "/sbx/v1/secrets";
export const NET_TARGET = "/sbx/v1/net";
export const NET_DENIED_TARGET = "/sbx/v1/net/denied";
export const NET_CHECK_TARGET = "/sbx/v1/net/check";
export const NET_RULES_TARGET = "/sbx/v1/net/rules";

/** Longest body of `PUT /sbx/v1/secrets`, `bytes`. */
export const MAX_SECRETS_BODY_BYTES = 1024 * 1024;
/** Longest body of the other calls, `bytes`. */
export const MAX_NET_BODY_BYTES = 256 * 1024;
/** Longest answer, `bytes`. */
export const MAX_NET_ANSWER_BYTES = 8 * 1024 * 1024;
export const MAX_SECRETS = 64;
/** Patterns in one `sbx net allow` or `deny`. */
export const MAX_PATTERNS_PER_CALL = 1000;
/** Rules of one policy, those of presets and of later commands included. */
export const MAX_RULES = 10_000;
/** Targets that {@link NetView.denied} remembers; the oldest are forgotten first. */
export const MAX_DENIED_TARGETS = 32;

/** Names of secrets are names of environment variables. */
export const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

const url = () => z.string().check(z.minLength(1), z.maxLength(16 * 1024));
const pem = () => z.string().check(z.maxLength(MAX_SECRETS_BODY_BYTES));
const nullable = () => z.nullable(z.string().check(z.maxLength(4096)));

/** Where it is wrong, the message does not repeat it. */
const secretValue = () =>
  z.string().check(z.refine((value) => secretValueFault(value) === null, { error: "no secret" }));

/** The user's proxies, as src/policy/proxy-settings.ts reads them. URLs may hold a password. */
const proxySettings = () =>
  z.object({
    http: nullable(),
    https: nullable(),
    noProxy: z.array(z.string().check(z.maxLength(1024))).check(z.maxLength(1000)),
  });

/** The first call has all three; a rotation has only `values`. */
export const secretsCall = () =>
  z.object({
    values: z
      .record(z.string().check(z.regex(SECRET_NAME)), secretValue())
      .check(z.refine((values) => Object.keys(values).length <= MAX_SECRETS, { error: "too many secrets" })),
    proxy: z.optional(z.nullable(proxySettings())),
    extraRootsPem: z.optional(z.array(pem()).check(z.maxLength(1000))),
  });
export type SecretsCall = z.output<ReturnType<typeof secretsCall>>;

export interface SecretsAnswer {
  /** Names that were given a value now. A name that the sandbox has no grant for is an error (404), and nothing is set. */
  set: readonly string[];
  /** Granted names that still have no value. */
  missing: readonly string[];
}

/**
 * What to check: `url` is `http:` or `https:` with a method, or `tcp://HOST:PORT` for a connection alone (its method is
 * not looked at).
 */
export const checkCall = () =>
  z.object({ method: z.string().check(z.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/)), url: url() });
export type CheckCall = z.output<ReturnType<typeof checkCall>>;

/** How a connection would be carried: end to end, read by sbx, or as plain HTTP. */
export type Carriage = "tunnel" | "intercept" | "plain";

export interface CheckAnswer {
  decision: Decision;
  /** `null` where it is denied. */
  carried: Carriage | null;
  /** Names of secrets whose placeholders would become values there. */
  secrets: readonly string[];
}

/** New rules at once; patterns as for `--allow-net`. */
export const rulesCall = () =>
  z.object({
    verdict: z.enum(["allow", "deny"]),
    hosts: z
      .array(z.string().check(z.minLength(1), z.maxLength(1024)))
      .check(z.minLength(1), z.maxLength(MAX_PATTERNS_PER_CALL)),
  });
export type RulesCall = z.output<ReturnType<typeof rulesCall>>;

export interface RulesAnswer {
  /** The new rules, one for each pattern and in their order; one that was there already is answered with its id. */
  rules: readonly NetRow[];
  /** Patterns that something else still denies, although they are allowed now. */
  stillDenied: readonly { host: string; decision: Decision }[];
}

/** One rule of the effective policy. */
export interface NetRow {
  id: string;
  verdict: Verdict;
  /** As a user would write it, such as `*.example.com:443 GET /v1/**`, or a rule in JavaScript. */
  text: string;
  kind: "host" | "expression";
  source: RuleSource;
  /** Why the rule has no or less effect than it looks (another one comes before it); `null` where there is nothing. */
  warning: string | null;
}

export interface NetSecret {
  name: string;
  hosts: readonly SecretHostRecord[];
  placeholder: string;
  /** Whether a value is there. The value itself never leaves the supervisor. */
  hasValue: boolean;
}

/** Since the sandbox started. */
export interface NetCounters {
  openFlows: number;
  connections: number;
  requests: number;
  /** Connections, requests and lookups that were refused. */
  denied: number;
  leaks: number;
  sentBytes: number;
  receivedBytes: number;
}

/** A target that was refused, for the notice after a command. `host` may be anything that the guest asked for. */
export interface NetDenial {
  host: string;
  /** `null` for a name that was only looked up. */
  port: number | null;
  count: number;
  reason: string;
  fix: Decision["fix"];
}

export interface NetView {
  mode: NetMode;
  rules: readonly NetRow[];
  secrets: readonly NetSecret[];
  onLeak: LeakActionName;
  inspect: boolean;
  hook: { path: string; state: "running" | "failed"; detail: string | null } | null;
  counters: NetCounters;
  /** As from {@link NET_DENIED_TARGET}: up to {@link MAX_DENIED_TARGETS}, the latest last. */
  denied: readonly NetDenial[];
}
