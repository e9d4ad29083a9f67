/** What becomes of one request, for the audit log: one event when it is over, and one for each leak. */
import type { Decision } from "../../policy/spec.ts";
import type { AuditEvent, AuditSink } from "../audit-event.ts";
import type { RequestHead } from "../http-heads.ts";
import type { Leak, LeakAction, OutgoingSecrets, Secrets } from "../secrets/secrets.ts";
import { type Authority, writeAuthority } from "./authority.ts";
import type { FlowFacts } from "./exchange.ts";
import type { Meter } from "./pump.ts";
import type { Refusal } from "./refusal.ts";

/** A path may be as long as a header; a log's line is for reading. */
const MAX_URL_CHARS = 2048;
const MAX_METHOD_CHARS = 32;

export interface RecordContext {
  audit: AuditSink;
  secrets: Secrets;
  onLeak: LeakAction;
}

export class RequestRecord {
  decision: Decision | null = null;
  /** What was dialled. */
  address: string | null = null;
  status: number | null = null;
  outgoing: OutgoingSecrets | null = null;
  readonly sent: Meter = { bytes: 0 };
  readonly received: Meter = { bytes: 0 };
  readonly #context: RecordContext;
  readonly #facts: FlowFacts;
  readonly #startedMs = Date.now();
  readonly #via: "intercept" | "plain";
  #method: string;
  #url: string;
  #authority: Authority;
  #refusal: Refusal | null = null;
  #error: string | null = null;
  #written = false;
  #leaksWritten = 0;

  constructor(context: RecordContext, facts: FlowFacts, authority: Authority, method: string, target: string) {
    this.#context = context;
    this.#facts = facts;
    this.#via = authority.scheme === "https" ? "intercept" : "plain";
    this.#authority = authority;
    this.#method = method.slice(0, MAX_METHOD_CHARS);
    this.#url = describeUrl(authority, target);
  }

  /** A hook sent it somewhere else. */
  redirected(head: RequestHead): void {
    this.#authority = head;
    this.#method = head.method;
    this.#url = describeUrl(head, head.target);
  }

  refused(refusal: Refusal): void {
    this.#refusal = refusal;
    this.status = refusal.status;
    if (refusal.decision !== undefined) this.decision = refusal.decision;
  }

  /** What went wrong after it was allowed; the first thing counts. */
  failed(message: string): void {
    this.#error ??= message;
  }

  write(): void {
    if (this.#written) return;
    this.#written = true;
    this.writeLeaks();
    const { secrets } = this.#context;
    const refusal = this.#refusal;
    const denied = refusal?.denied === true;
    const error = this.#error ?? (refusal !== null && !denied ? refusal.message : null);
    const reason = denied ? refusal.message : this.decision?.reason;
    const event = this.#common("request", denied ? "deny" : "allow");
    if (this.status !== null) event.status = this.status;
    if (this.decision !== null) {
      event.rule = this.decision.rule;
      event.fix = this.decision.fix;
    }
    if (reason !== undefined) event.reason = secrets.scrubText(reason);
    if (this.address !== null) event.address = this.address;
    event.secrets = this.outgoing?.used ?? [];
    event.sentBytes = this.sent.bytes;
    event.receivedBytes = this.received.bytes;
    event.ms = Date.now() - this.#startedMs;
    if (error !== null) event.error = secrets.scrubText(error);
    this.#context.audit(event);
  }

  /** Those that were not written yet: a request may stream for hours. */
  writeLeaks(): void {
    const leaks = this.outgoing?.leaks ?? [];
    for (; this.#leaksWritten < leaks.length; this.#leaksWritten++) this.#writeLeak(leaks[this.#leaksWritten]);
    const refused = this.#refusal?.leak;
    if (refused !== undefined && !leaks.some((leak) => isSame(leak, refused))) this.#writeLeak(refused);
  }

  #writeLeak(leak: Leak | undefined): void {
    if (leak === undefined) return;
    this.#context.audit({
      ...this.#common("leak", this.#context.onLeak === "block" ? "deny" : "allow"),
      secrets: [leak.secret],
      reason: `${leak.what} of ${leak.secret} in ${leak.where}`,
    });
  }

  #common(kind: "request" | "leak", verdict: "allow" | "deny"): AuditEvent {
    return {
      time: this.#startedMs,
      kind,
      verdict,
      flow: this.#facts.flow,
      host: this.#authority.host,
      port: this.#authority.port,
      method: this.#method,
      url: this.#context.secrets.scrubText(this.#url),
      via: this.#via,
    };
  }
}

function isSame(a: Leak, b: Leak): boolean {
  return a.secret === b.secret && a.where === b.where && a.what === b.what;
}

/** With the query's names and none of its values. */
function describeUrl(authority: Authority, target: string): string {
  const [path, query] = splitOnce(target.split("#", 1)[0] ?? "", "?");
  const names = query?.split("&").map((part) => part.split("=", 1)[0] ?? "");
  const origin = `${authority.scheme}://${writeAuthority(authority)}`;
  const shown = path.startsWith("/") || path === "*" || path === "" ? path : "/";
  const text = `${origin}${shown}${names === undefined ? "" : `?${names.join("&")}`}`;
  return text.length > MAX_URL_CHARS ? `${text.slice(0, MAX_URL_CHARS)}…` : text;
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
