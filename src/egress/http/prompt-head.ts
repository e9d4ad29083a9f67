/** A message whose head leaves with the first bytes of its body, or alone if there are none at once. */
import type { OutgoingMessage } from "node:http";
import type { BodySink } from "./exchange.ts";

export class PromptHead implements BodySink {
  readonly #message: OutgoingMessage;
  #begun = false;

  constructor(message: OutgoingMessage) {
    this.#message = message;
    setImmediate(() => {
      // An event stream's head does not wait for an event. Flushing a head that has left would write an empty record.
      if (!this.#begun && !message.writableEnded && !message.destroyed) message.flushHeaders();
    });
  }

  get destroyed(): boolean {
    return this.#message.destroyed;
  }

  write(chunk: Buffer): boolean {
    this.#begun = true;
    return this.#message.write(chunk);
  }

  once(event: "drain" | "close", listener: () => void): void {
    this.#message.once(event, listener);
  }

  off(event: "drain" | "close", listener: () => void): void {
    this.#message.off(event, listener);
  }
}
