/**
 * One line of the audit log (`sbx net log`): what the guest tried, what was decided, and what came of it. Nothing of a
 * body, no query value, no header and no secret is ever in it. Strings that the guest chose are escaped when they are shown.
 */
import type { Decision } from "../policy/spec.ts";

export type AuditKind =
  /** A name was asked for. */
  | "dns"
  /** A TCP connection: a tunnel, or one that never got as far as a request. */
  | "connection"
  /** An HTTP request that was read. */
  | "request"
  /** A placeholder or a revoked secret was on its way to a host that it does not belong to. */
  | "leak"
  /** The policy or a secret was changed. */
  | "change"
  /** Anything else that the guest sent and nobody forwards: UDP, ICMP, other protocols; counted, not one a packet. */
  | "dropped";

export interface AuditEvent {
  /** Epoch `ms`. */
  time: number;
  kind: AuditKind;
  verdict: "allow" | "deny";
  /** Number of the guest's TCP connection. */
  flow?: number;
  /** Name that the guest asked for, or the address where there is none. */
  host?: string;
  port?: number;
  /** Address that was really dialled. */
  address?: string;
  method?: string;
  /** URL with the names of its query but no values; no user information, no fragment. */
  url?: string;
  status?: number;
  /** `Decision`'s rule, reason and fix. */
  rule?: Decision["rule"];
  reason?: string;
  fix?: Decision["fix"];
  /** How the connection was carried. */
  via?: "tunnel" | "intercept" | "plain" | "resolver";
  /** Names (not values) of the secrets that were put in. */
  secrets?: readonly string[];
  /** Bytes from and to the guest, without TLS and headers of lower layers. */
  sentBytes?: number;
  receivedBytes?: number;
  /** From the first packet to the end, `ms`. */
  ms?: number;
  /** What went wrong after it was allowed, such as `upstream certificate has expired`. */
  error?: string;
}

export type AuditSink = (event: AuditEvent) => void;
