/**
 * The network of a sandbox and the secrets of its user, as they cross the Runtime interface. Rows of the policy, verdicts
 * and audit events are plain data of src/policy and src/protocol; the guest chose some of their text.
 */
import type { Verdict } from "../policy/spec.ts";
import type { AuditEvent } from "../protocol/audit-event.ts";
import type { CheckAnswer, NetDenial, NetView, RulesAnswer } from "../protocol/net-calls.ts";
import type { SecretHostRecord } from "../protocol/net-launch.ts";
import type { CallerEnvironment, CallOptions, SecretSource } from "./types.ts";

export type { AuditEvent, CheckAnswer, NetDenial, NetView, RulesAnswer, SecretHostRecord, SecretSource };

export interface NetworkApi {
  /** The effective policy of a running sandbox. @throws SbxError `sandbox_not_found`, `sandbox_stopped` */
  show(ref: string, options?: CallOptions): Promise<NetView>;
  /** The verdict that the enforcement would give. @param url `http:`, `https:` or `tcp://HOST:PORT` */
  check(ref: string, method: string, url: string, options?: CallOptions): Promise<CheckAnswer>;
  /** Adds rules that hold from this moment on. @throws SbxError `usage` for a pattern that does not parse */
  change(ref: string, verdict: Verdict, patterns: readonly string[], options?: CallOptions): Promise<RulesAnswer>;
  /** Targets that a running sandbox was refused, the latest last. Quick. */
  denied(ref: string, options?: CallOptions): Promise<readonly NetDenial[]>;
  /** What the sandbox tried, the oldest first; also of one that stopped within the last day. */
  log(ref: string, options?: AuditLogOptions): AsyncIterable<AuditEvent>;
}

export interface AuditLogOptions extends CallOptions {
  /** Goes on until the sandbox is over. */
  follow?: boolean;
  /** Only this many of the last events. */
  tail?: number;
  /** Which events are wanted; the others do not count for `tail` either. */
  filter?: (event: AuditEvent) => boolean;
  /** Called once before the end, if lines could not be read. */
  onDamaged?: (count: number) => void;
}

export interface SecretInfo {
  name: string;
  hosts: readonly SecretHostRecord[];
  source: SecretSource["kind"];
  /** Variable, command line or path; `null` for a value, and where the key that it is sealed with cannot be had. */
  detail: string | null;
  createdAt: number;
  updatedAt: number;
}

/** Where the key lies that stored secrets are encrypted with. */
export interface SecretKeyPlace {
  kind: "keyring" | "file";
  /** Of the file, or of the keyring in words. */
  description: string;
  /** Why the key cannot be had at the moment; `null` if it can. */
  problem: string | null;
}

/** A running sandbox that a rotated secret concerns. */
export interface RotatedSandbox {
  id: string;
  name: string | null;
  /** Why it still has the old value; `null` if it has the new one. */
  problem: string | null;
}

export interface SecretApi {
  /** What can be said without the key, by name. @throws SbxError `secrets_broken` */
  names(options?: CallOptions): Promise<{ name: string; hosts: readonly SecretHostRecord[] }[]>;
  /** All by name, and where their key is (`null` before the first one). @throws SbxError `secrets_broken` */
  list(options?: CallOptions): Promise<{ secrets: SecretInfo[]; key: SecretKeyPlace | null }>;
  /** Stores a secret, or stores it anew. @param hosts at least one */
  set(
    secret: { name: string; hosts: readonly SecretHostRecord[]; source: SecretSource },
    options?: CallOptions,
  ): Promise<SecretInfo>;
  /** Running sandboxes keep what they have. @throws SbxError `secret_not_found` */
  remove(name: string, options?: CallOptions): Promise<SecretInfo>;
  /**
   * Gives a stored secret a new value, and to each running sandbox that uses it: there, the old one is forbidden from
   * then on.
   *
   * @param source `null` reads the one that it has (not for a `value`) anew
   * @throws SbxError `secret_not_found`, `secret_unreadable`
   */
  rotate(
    name: string,
    source: SecretSource | null,
    options?: CallOptions & CallerEnvironment,
  ): Promise<{ secret: SecretInfo; sandboxes: RotatedSandbox[] }>;
}
