/** What the audit log says of one connection: one line, and of one that somebody else reads only that it was cut. */
import type { Decision } from "../../policy/spec.ts";
import type { AuditEvent, AuditSink } from "../audit-event.ts";

/** Why a connection is refused, and what would allow it. */
export type Denial = Pick<Decision, "rule" | "reason" | "fix">;

export interface LoggedFlow {
  flow: number;
  host: string;
  port: number;
  openedAt: number;
}

export class FlowLog {
  readonly #audit: AuditSink;
  readonly #flow: LoggedFlow;
  #state: "open" | "handed over" | "written" = "open";

  constructor(audit: AuditSink, flow: LoggedFlow) {
    this.#audit = audit;
    this.#flow = flow;
  }

  /** The connection, or the rest of it, was refused. */
  denied(denial: Denial, more: Partial<AuditEvent> = {}): void {
    const { rule, reason, fix } = denial;
    this.#write({ ...more, verdict: "deny", rule, reason, fix });
  }

  /** It was allowed, and is over. */
  ended(decision: Decision, more: Partial<AuditEvent>): void {
    if (this.#state === "handed over") return;
    this.#write({ ...more, verdict: "allow", rule: decision.rule, reason: decision.reason });
  }

  /** Somebody else writes what comes of it. */
  handedOver(): void {
    if (this.#state === "open") this.#state = "handed over";
  }

  #write(fields: Partial<AuditEvent> & Pick<AuditEvent, "verdict">): void {
    if (this.#state === "written") return;
    this.#state = "written";
    const { flow, host, port, openedAt } = this.#flow;
    const time = Date.now();
    this.#audit({ time, kind: "connection", flow, host, port, ms: Math.max(0, time - openedAt), ...fields });
  }
}
