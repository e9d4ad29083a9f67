/**
 * One line of the audit log (`sbx net log`): what the guest tried, what was decided, and what came of it. Nothing of a
 * body, no query value, no header and no secret is ever in it. Strings that the guest chose are escaped when they are shown.
 *
 * The log is the file `net.log` in the sandbox's directory, with one predecessor `net.log.1`. A line may be damaged (a
 * full disk, a killed writer): {@link parseAuditLine} takes what has the shape and nothing else.
 */
import * as z from "zod/mini";
import type { Decision } from "../policy/spec.ts";

export const AUDIT_LOG_NAME = "net.log";
export const PREVIOUS_AUDIT_LOG_NAME = "net.log.1";
/** The writer cuts what the guest chose so that no line is longer, `bytes`. Readers skip longer ones. */
export const MAX_AUDIT_LINE_BYTES = 16 * 1024;

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

const text = () => z.string().check(z.maxLength(MAX_AUDIT_LINE_BYTES));
const finite = () => z.number();

export const ruleSource = () =>
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("default") }),
    z.object({ kind: z.literal("preset"), name: z.enum(["none", "balanced", "open"]) }),
    z.object({ kind: z.literal("option"), option: text() }),
    z.object({ kind: z.literal("file"), path: text(), line: finite() }),
    z.object({ kind: z.literal("command"), at: finite() }),
    z.object({ kind: z.literal("api") }),
  ]);

export const auditEvent = () =>
  z.object({
    time: finite(),
    kind: z.enum(["dns", "connection", "request", "leak", "change", "dropped"]),
    verdict: z.enum(["allow", "deny"]),
    flow: z.optional(finite()),
    host: z.optional(text()),
    port: z.optional(finite()),
    address: z.optional(text()),
    method: z.optional(text()),
    url: z.optional(text()),
    status: z.optional(finite()),
    rule: z.optional(z.nullable(z.object({ id: text(), text: text(), source: ruleSource() }))),
    reason: z.optional(text()),
    fix: z.optional(z.nullable(z.array(text()))),
    via: z.optional(z.enum(["tunnel", "intercept", "plain", "resolver"])),
    secrets: z.optional(z.array(text())),
    sentBytes: z.optional(finite()),
    receivedBytes: z.optional(finite()),
    ms: z.optional(finite()),
    error: z.optional(text()),
  });

let schema: ReturnType<typeof auditEvent> | undefined;

/** Reads one line of the log; `undefined` for anything that is not an event of this version. Never throws. */
export function parseAuditLine(line: string): AuditEvent | undefined {
  if (line.length > MAX_AUDIT_LINE_BYTES) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined; // Half a line, or none of ours.
  }
  const parsed = z.safeParse((schema ??= auditEvent()), value);
  // Optional fields are absent or have a value: JSON knows no `undefined`.
  return parsed.success ? (parsed.data as AuditEvent) : undefined;
}
