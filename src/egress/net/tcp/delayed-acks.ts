/** Acknowledgements that may wait a moment: data that is sent until then carries them. */
import type { Clock } from "../clock.ts";
import type { Connection } from "./connection.ts";

export class DelayedAcks {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onDue: (connections: readonly Connection[]) => void;
  #waiting: Connection[] = [];
  #cancel: (() => void) | undefined;

  /** @param onDue those that have not been sent meanwhile */
  constructor(clock: Clock, ms: number, onDue: (connections: readonly Connection[]) => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onDue = onDue;
  }

  add(connection: Connection): void {
    if (connection.isDelayed) return;
    connection.isDelayed = true;
    this.#waiting.push(connection);
    this.#cancel ??= this.#clock.after(this.#ms, () => this.#tick());
  }

  close(): void {
    this.#cancel?.();
    this.#waiting = [];
  }

  #tick(): void {
    this.#cancel = undefined;
    const due = this.#waiting;
    this.#waiting = [];
    for (const connection of due) connection.isDelayed = false;
    this.#onDue(due.filter(({ ackDue }) => ackDue === "soon"));
  }
}
