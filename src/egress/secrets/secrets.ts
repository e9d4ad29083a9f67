/**
 * Secrets as the egress path sees them: placeholders that become values in requests to their own hosts, and values that
 * become placeholders in what comes back. Values exist in the supervisor's memory only.
 */
import type { Transform } from "node:stream";
import type { ConnectionTarget } from "../../policy/spec.ts";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";

/** A host that a secret belongs to. */
export interface SecretHost {
  /** As {@link RuleSpec.host}, but never `*`, an address or a range of them with a wildcard. */
  host: string;
  /** `null`: every port. */
  port: number | null;
  /** `http` only where the user wrote it: the value then crosses the network in clear. */
  scheme: "http" | "https";
}

export interface SecretGrant {
  name: string;
  /** Stands in the guest's environment. */
  placeholder: string;
  hosts: readonly SecretHost[];
}

/** What happens to a request that carries a placeholder to a host that it does not belong to. */
export type LeakAction = "block" | "report" | "pass";

export interface Leak {
  /** Name of the secret. */
  secret: string;
  /** Where it was found, such as `header x-key`, `query`, `path`, `body`. */
  where: string;
  /** `placeholder`, or a value of this sandbox that the guest should never have had. */
  what: "placeholder" | "value";
}

/** One request on its way out. */
export interface OutgoingSecrets {
  /** With the values put in, where they belong. Lengths of the body may change: see {@link body}. */
  readonly head: RequestHead;
  /** Leaks in the head, and (filled while it streams) in the body. */
  readonly leaks: readonly Leak[];
  /** Whether the request must not leave. */
  readonly blocked: boolean;
  /** Names of the secrets that were put in so far. */
  readonly used: readonly string[];
  /**
   * A stream through which the body goes, or `null` where it can stay as it is. It fails with {@link LeakError} for a
   * body that must not leave; what came out of it before that contains nothing of the leak. The body's length may
   * change, so `content-length` has been taken out of the head where this is not `null`.
   */
  body(): Transform | null;
  /** Trailer fields, treated as header fields are. @throws LeakError */
  trailers(fields: FieldLines): FieldLines;
  /** One WebSocket message of the guest. @throws LeakError */
  message(data: Buffer): Buffer;
}

/** The response to one request on its way in. */
export interface IncomingSecrets {
  /** Values are placeholders again. Where `body` is not `null`, `content-length` and a decoded coding are taken out. */
  readonly head: ResponseHead;
  /** A stream for the body, which also decodes content codings, or `null`. Fails closed on a coding it cannot read. */
  body(): Transform | null;
  trailers(fields: FieldLines): FieldLines;
  /** One WebSocket message of the upstream. */
  message(data: Buffer): Buffer;
}

export class LeakError extends Error {
  readonly leak: Leak;
  constructor(leak: Leak) {
    super(`${leak.what} of ${leak.secret} in ${leak.where}`);
    this.name = "LeakError";
    this.leak = leak;
  }
}

export interface Secrets {
  readonly grants: readonly SecretGrant[];
  /** Whether every request of such a connection has to be read, so that a tunnel is not enough. */
  concerns(target: ConnectionTarget): boolean;
  /** Gives a value; an earlier one is forbidden from then on, in both directions. @throws SbxError for an unknown name */
  setValue(name: string, value: string): void;
  openRequest(head: RequestHead): OutgoingSecrets;
  /** @param request as it came from the guest */
  openResponse(request: RequestHead, head: ResponseHead): IncomingSecrets;
  /** Any text for a person or a log: with every value (in all forms that are known) replaced by its placeholder. */
  scrubText(text: string): string;
}
