/**
 * A message whose head leaves with what there is of its body, or alone if there is nothing at once. All that comes in one
 * turn of the event loop is one write, and so few TLS records: small pieces cost the other end more than they cost here.
 */
import type { OutgoingMessage } from "node:http";
import type { BodySink } from "./exchange.ts";

export class PromptHead implements BodySink {
  readonly #message: OutgoingMessage;
  #begun = false;
  #gathers = false;

  constructor(message: OutgoingMessage) {
    this.#message = message;
    this.#gather();
  }

  get destroyed(): boolean {
    return this.#message.destroyed;
  }

  write(chunk: Buffer): boolean {
    this.#begun = true;
    if (!this.#gathers) this.#gather();
    return this.#message.write(chunk);
  }

  once(event: "drain" | "close", listener: () => void): void {
    this.#message.once(event, listener);
  }

  off(event: "drain" | "close", listener: () => void): void {
    this.#message.off(event, listener);
  }

  #gather(): void {
    this.#gathers = true;
    this.#message.cork();
    setImmediate(this.#send);
  }

  readonly #send = (): void => {
    const message = this.#message;
    this.#gathers = false;
    // Either of them has let everything out.
    if (message.writableEnded || message.destroyed) return;
    // An event stream's head does not wait for an event. Flushing a head that has left would write an empty record.
    if (!this.#begun) message.flushHeaders();
    this.#begun = true;
    message.uncork();
    // While it gathers it says when it has had enough, and Node leaves the word that there is room again to the socket,
    // which says that only if it was full itself.
    if (message.writableNeedDrain && message.socket?.writableNeedDrain === false) message.emit("drain");
  };
}
