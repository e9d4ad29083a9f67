/**
 * Where everything that was decided about the guest's network ends up: the audit log, the counters, and the latest
 * denials. Hosts, paths and reasons in an event were chosen by the guest, so every text is cut here.
 */
import path from "node:path";
import { AUDIT_LOG_NAME, MAX_AUDIT_LINE_BYTES, type AuditEvent } from "../../protocol/audit-event.ts";
import { MAX_DENIED_TARGETS, type NetCounters, type NetDenial } from "../../protocol/net-calls.ts";
import { CappedLog } from "../capped-log.ts";

/** Size of one of the two files, `bytes`: some 50,000 requests each. */
const AUDIT_CAP_BYTES = 16 * 1024 * 1024;
/** Events are written together: a write for each would be the most of what a request costs. `ms` */
const FLUSH_MS = 20;
/** Lines that wait to be written, `chars`. A guest that is faster than that has its events written at once. */
const MAX_WAITING_CHARS = 1024 * 1024;
/** Longest text in an event; with JSON's escapes a line of several stays below {@link MAX_AUDIT_LINE_BYTES}. */
const MAX_TEXT_CHARS = 2048;
const SHORT_TEXT_CHARS = 256;

export class AuditTrail implements Disposable {
  readonly #file: string;
  readonly #denied = new Map<string, NetDenial>();
  readonly #counters = { connections: 0, requests: 0, denied: 0, leaks: 0, sentBytes: 0, receivedBytes: 0 };
  /** Opened with the first event: most sandboxes have none. */
  #log: CappedLog | undefined;
  #waiting = "";
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(directory: string) {
    this.#file = path.join(directory, AUDIT_LOG_NAME);
  }

  /** Never throws: what cannot be written must not end what is being written about. */
  readonly record = (event: AuditEvent): void => {
    this.#count(event);
    if (this.#closed) return;
    this.#waiting += encodeEvent(event);
    if (this.#waiting.length > MAX_WAITING_CHARS) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS);
  };

  get counters(): Omit<NetCounters, "openFlows"> {
    return { ...this.#counters };
  }

  get denied(): NetDenial[] {
    return [...this.#denied.values()];
  }

  /** Writes what waits. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#waiting;
    this.#waiting = "";
    if (text === "") return;
    try {
      this.#log ??= new CappedLog(this.#file, AUDIT_CAP_BYTES);
      this.#log.write(text);
    } catch {
      // No room on the disk, or the directory is gone: these events are lost, the counters are not.
    }
  }

  [Symbol.dispose](): void {
    this.flush();
    this.#closed = true;
    this.#log?.[Symbol.dispose]();
  }

  #count(event: AuditEvent): void {
    const counters = this.#counters;
    if (event.kind === "connection") counters.connections += 1;
    if (event.kind === "request") counters.requests += 1;
    if (event.kind === "leak") counters.leaks += 1;
    // A request's bytes are those of its connection as well, which is only counted where it was a tunnel.
    counters.sentBytes += event.sentBytes ?? 0;
    counters.receivedBytes += event.receivedBytes ?? 0;
    if (event.verdict === "deny" && event.kind !== "change" && event.kind !== "dropped") {
      counters.denied += 1;
      this.#rememberDenial(event);
    }
  }

  #rememberDenial({ host, port, reason, fix }: AuditEvent): void {
    if (host === undefined) return;
    const key = `${host.slice(0, SHORT_TEXT_CHARS)} ${port ?? ""}`;
    const count = (this.#denied.get(key)?.count ?? 0) + 1;
    // To the end: the latest come last.
    this.#denied.delete(key);
    this.#denied.set(key, {
      host: host.slice(0, SHORT_TEXT_CHARS),
      port: port ?? null,
      count,
      reason: (reason ?? "").slice(0, SHORT_TEXT_CHARS),
      fix: fix ?? null,
    });
    const [oldest] = this.#denied.keys();
    if (this.#denied.size > MAX_DENIED_TARGETS && oldest !== undefined) this.#denied.delete(oldest);
  }
}

/** One line. One that is too long in spite of the cuts loses what the guest chose at will. */
function encodeEvent(event: AuditEvent): string {
  // Nearly all of them. To look at each text while it is written takes longer.
  if (isShort(event)) {
    const whole = JSON.stringify(event);
    if (Buffer.byteLength(whole) < MAX_AUDIT_LINE_BYTES) return `${whole}\n`;
  }
  for (const limit of [MAX_TEXT_CHARS, SHORT_TEXT_CHARS]) {
    const line = JSON.stringify(event, (_, value: unknown) =>
      typeof value === "string" && value.length > limit ? `${value.slice(0, limit)}…` : value,
    );
    if (Buffer.byteLength(line) < MAX_AUDIT_LINE_BYTES) return `${line}\n`;
  }
  const { time, kind, verdict, flow, port } = event;
  return `${JSON.stringify({ time, kind, verdict, ...(flow === undefined ? {} : { flow }), ...(port === undefined ? {} : { port }) })}\n`;
}

/** Whether no text in it has to be cut. */
function isShort(value: unknown): boolean {
  if (typeof value === "string") return value.length <= MAX_TEXT_CHARS;
  return typeof value !== "object" || value === null || Object.values(value).every(isShort);
}
