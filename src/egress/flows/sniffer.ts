/** Reads a guest's first bytes off an accepted stream, and gives the stream back as if nobody had. */
import type { Duplex } from "node:stream";
import { type DecidedVerdict, FirstBytes } from "./first-bytes.ts";

export interface SnifferEvents {
  /** Called once. The sniffer has stopped. */
  onVerdict(verdict: DecidedVerdict): void;
  /** The first bytes have come, and have not been enough. */
  onUndecided(): void;
  /** The guest has ended its side before there was a verdict. The sniffer has stopped. */
  onEnd(): void;
}

export class Sniffer {
  readonly first = new FirstBytes();
  readonly #stream: Duplex;
  readonly #events: SnifferEvents;
  #stopped = false;

  constructor(stream: Duplex, events: SnifferEvents) {
    this.#stream = stream;
    this.#events = events;
    // Not by "data": a stream that has flowed once does not wait for its next owner.
    stream.on("readable", this.#onReadable);
    stream.on("end", this.#onEnd);
  }

  /** The stream is its next owner's; {@link FirstBytes.bytes} have been taken from it. */
  stop(): void {
    this.#stopped = true;
    this.#stream.off("readable", this.#onReadable);
    this.#stream.off("end", this.#onEnd);
  }

  /** As {@link stop}, with the bytes put back. */
  giveBack(): void {
    this.stop();
    if (this.first.bytes.length > 0 && !this.#stream.destroyed) this.#stream.unshift(this.first.bytes);
  }

  readonly #onReadable = () => {
    let undecided = false;
    while (!this.#stopped) {
      const chunk = this.#stream.read() as Buffer | null;
      if (chunk === null) break;
      const verdict = this.first.push(chunk);
      if (verdict.kind === "more") {
        undecided = true;
        continue;
      }
      this.stop();
      this.#events.onVerdict(verdict);
    }
    if (undecided && !this.#stopped) this.#events.onUndecided();
  };

  readonly #onEnd = () => {
    this.stop();
    this.#events.onEnd();
  };
}
