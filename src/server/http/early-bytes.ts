/**
 * A client's socket while its handshake has not been answered: notices that the client is gone (which only a socket that
 * is read does), and keeps what it sends early.
 */
import type { Duplex } from "node:stream";
import { MAX_EARLY_BYTES } from "./limits.ts";

export class EarlyBytes {
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #socket: Duplex;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  /** @param head what was read behind the handshake */
  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    this.signal = this.#controller.signal;
    if (head.length > 0) this.#chunks.push(head);
    socket.on("data", this.#onData).once("end", this.#onGone).once("close", this.#onGone);
    socket.on("error", () => socket.destroy());
  }

  /** What has come; from now on the socket is the caller's, and stands still. */
  release(): Buffer {
    this.#socket.off("data", this.#onData).off("end", this.#onGone).off("close", this.#onGone);
    this.#socket.pause();
    return Buffer.concat(this.#chunks);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length;
    // Nobody has anything to say to a sandbox that is not there yet.
    if (this.#bytes > MAX_EARLY_BYTES) this.#socket.destroy();
    else this.#chunks.push(chunk);
  };

  readonly #onGone = (): void => {
    this.#controller.abort(new Error("the client is gone"));
  };
}
