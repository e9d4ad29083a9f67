/** What the guest sent and nobody forwards, for the audit log: counted and told now and then, not packet by packet. */
import type { AuditSink } from "./audit-event.ts";
import type { Endpoint } from "./guest-flow.ts";
import type { DropKind } from "./net/counters.ts";

/** Between two events about one kind, `ms`. */
const INTERVAL_MS = 10_000;

const WORDS: Readonly<Record<DropKind, string>> = {
  udp: "UDP is not forwarded",
  icmp: "ICMP is not forwarded",
  protocol: "only TCP and DNS leave a sandbox",
  fragment: "fragments are not forwarded",
  malformed: "the packet contradicts itself",
  spoofed: "the packet has another machine's address",
  multicast: "multicast is not forwarded",
  limit: "too many connections at once",
};

export class DroppedLog {
  readonly #audit: AuditSink;
  readonly #now: () => number;
  readonly #kinds = new Map<DropKind, { count: number; toldAt: number }>();

  constructor(audit: AuditSink, now: () => number = Date.now) {
    this.#audit = audit;
    this.#now = now;
  }

  /** The first of a kind is told at once, the others together with one that comes later. */
  note(kind: DropKind, target?: Endpoint): void {
    const now = this.#now();
    const state = this.#kinds.get(kind) ?? { count: 0, toldAt: Number.NEGATIVE_INFINITY };
    this.#kinds.set(kind, state);
    state.count += 1;
    if (now - state.toldAt < INTERVAL_MS) return;
    const more = state.count > 1 ? ` (${state.count} so far unsaid)` : "";
    this.#audit({
      ...{ time: now, kind: "dropped", verdict: "deny", reason: `${WORDS[kind]}${more}` },
      ...(target === undefined ? {} : { host: target.address, port: target.port }),
    });
    state.count = 0;
    state.toldAt = now;
  }
}
