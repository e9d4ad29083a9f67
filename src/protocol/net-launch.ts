/**
 * What a supervisor is told about its sandbox's network when it is started (`SandboxLaunch.egress`). No secret's value
 * and no proxy's password is in it: those come over the supervisor's socket afterwards (net-calls.ts). Both ends are the
 * same version of sbx and the launcher has parsed everything, so the types need no further parsing.
 *
 * The audit log is `net.log` in the launch's directory (audit-event.ts).
 */
import type { PolicySpec, SecretHost } from "../policy/spec.ts";

/** What happens to a request that carries a placeholder to a host that it does not belong to. */
export const LEAK_ACTIONS = ["block", "report", "pass"] as const;

export type LeakActionName = (typeof LEAK_ACTIONS)[number];

export type SecretHostRecord = SecretHost;

/** A secret that the sandbox may use: its placeholder is the environment variable `name` in the guest. */
export interface SecretGrantRecord {
  name: string;
  hosts: readonly SecretHostRecord[];
}

/** An address that stands for a name and port, whatever a resolver says (`--resolve`). */
export interface ResolveOverrideRecord {
  host: string;
  port: number;
  address: string;
}

export interface EgressLaunch {
  policy: PolicySpec;
  /** Where there are any, the guest is not served before all their values have come. */
  secrets: readonly SecretGrantRecord[];
  onLeak: LeakActionName;
  /** Intercept every connection that can be, not only those that secrets and hooks need. */
  inspect: boolean;
  /** Absolute path of the user's hook module. */
  hookPath: string | null;
  resolve: readonly ResolveOverrideRecord[];
  /**
   * Whether `ready` is not to be answered, and the guest not to be served, before `PUT /sbx/v1/secrets` has come with
   * values, proxies or roots. (It comes before `commit` in any case where there are some.)
   */
  awaitsSettings: boolean;
}
