/** What the audit log says of one connection; exactly one line is written. */
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
  #written = false;

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
    this.#write({ ...more, verdict: "allow", rule: decision.rule, reason: decision.reason });
  }

  /** Somebody else writes it. */
  handedOver(): void {
    this.#written = true;
  }

  #write(fields: Partial<AuditEvent> & Pick<AuditEvent, "verdict">): void {
    if (this.#written) return;
    this.#written = true;
    const { flow, host, port, openedAt } = this.#flow;
    const time = Date.now();
    this.#audit({ time, kind: "connection", flow, host, port, ms: Math.max(0, time - openedAt), ...fields });
  }
}
