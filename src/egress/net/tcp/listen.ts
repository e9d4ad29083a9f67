/** A flow that the guest opens, from its SYN until somebody accepts or refuses it. */
import type { Duplex } from "node:stream";
import type { Endpoint, GuestFlow } from "../../guest-flow.ts";
import type { Connection } from "./connection.ts";
import { FlowError, type TcpContext } from "./context.ts";
import { FlowStream } from "./flow-stream.ts";

export class PendingFlow implements GuestFlow {
  readonly id: number;
  readonly guest: Endpoint;
  readonly target: Endpoint;
  readonly #context: TcpContext;
  readonly #connection: Connection;
  #isAnswered = false;
  #isGone = false;
  #onGone: (() => void) | undefined;

  constructor(context: TcpContext, connection: Connection) {
    this.id = connection.id;
    this.guest = connection.guest;
    this.target = connection.target;
    this.#context = context;
    this.#connection = connection;
    connection.onGone = () => {
      this.#isGone = true;
      this.#onGone?.();
    };
  }

  accept(): Duplex {
    const context = this.#context;
    const connection = this.#connection;
    const stream = new FlowStream(context, connection);
    if (!this.#answer()) {
      stream.destroy(new FlowError("ECONNRESET", "the guest gave up before its connection was accepted"));
      return stream;
    }
    connection.stream = stream;
    connection.phase = "syn-received";
    connection.sendNext = (connection.initialSend + 1) | 0;
    connection.since = context.now;
    connection.synDue = true;
    context.schedule(connection);
    return stream;
  }

  refuse(): void {
    if (!this.#answer()) return;
    this.#context.abort(this.#connection);
    this.#context.release(this.#connection);
  }

  onGone(listener: () => void): void {
    if (this.#isGone) queueMicrotask(listener);
    else this.#onGone = listener;
  }

  /** False if the flow has gone. @throws Error if it was answered before */
  #answer(): boolean {
    if (this.#isAnswered) throw new Error(`flow ${this.id} has been answered already`);
    this.#isAnswered = true;
    this.#connection.onGone = undefined;
    return !this.#isGone;
  }
}
