/** A connection whose HTTP somebody else reads: all that the router still does is to end it when its host is denied. */
import type { Duplex } from "node:stream";
import type { ConnectionTarget, Decision } from "../../policy/spec.ts";
import type { FlowLog } from "./flow-log.ts";
import type { ServedFlow } from "./open-flow.ts";

export class HandedOverFlow implements ServedFlow {
  readonly isTunnel = false;
  readonly judgedAddress = null;
  readonly target: ConnectionTarget;
  readonly #guest: Duplex;
  readonly #log: FlowLog;

  constructor(guest: Duplex, target: ConnectionTarget, log: FlowLog) {
    this.#guest = guest;
    this.target = target;
    this.#log = log;
  }

  cut(decision: Decision | null): void {
    // With the sandbox, whoever reads it ends it.
    if (decision === null || this.#guest.destroyed) return;
    this.#log.denied(decision);
    this.#guest.destroy();
  }
}
