/** A small body as a whole, so that its length is known before it leaves. */
import type { Readable } from "node:stream";
import type { HeldBytes } from "./held-bytes.ts";

/** What is held for one request; given back when that is over. */
export class Gathering implements Disposable {
  readonly #held: HeldBytes;
  readonly #maxBytes: number;
  #bytes = 0;

  /** @param held over all requests */
  constructor(held: HeldBytes, maxBytes: number) {
    this.#held = held;
    this.#maxBytes = maxBytes;
  }

  /**
   * Reads all of it. `null` where that is too much: the source is paused then, and its bytes are in it again.
   *
   * @throws Error that the source failed with
   */
  read(source: Readable): Promise<Buffer | null> {
    const chunks: Buffer[] = [];
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        source.off("data", onData).off("end", onEnd).off("close", onClose);
      };
      const onData = (chunk: Buffer): void => {
        chunks.push(chunk);
        if (this.#take(chunk.length)) return;
        stop();
        source.pause();
        source.unshift(Buffer.concat(chunks));
        resolve(null);
      };
      const onEnd = (): void => {
        stop();
        resolve(Buffer.concat(chunks));
      };
      const onClose = (): void => {
        stop();
        reject(source.errored ?? new Error("the body was cut off"));
      };
      if (source.destroyed) {
        onClose();
        return;
      }
      source
        .on("data", onData)
        .once("end", onEnd)
        .once("close", onClose)
        .on("error", () => undefined);
    });
  }

  [Symbol.dispose](): void {
    this.#held.add(-this.#bytes);
    this.#bytes = 0;
  }

  #take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes || !this.#held.tryAdd(bytes)) return false;
    this.#bytes += bytes;
    return true;
  }
}
