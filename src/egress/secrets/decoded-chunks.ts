/**
 * Decoders in a row, driven chunk by chunk: all that a chunk says has been delivered when its callback is called, and
 * nothing is decoded ahead of a consumer that is not ready.
 */
import type { Transform } from "node:stream";
import { type Coding, createDecoder } from "./content-codings.ts";

type Done = (error?: Error | null) => void;

export class DecodedChunks {
  readonly #first: Transform;
  readonly #last: Transform;
  readonly #stages: readonly Transform[];
  /** @returns whether more may come at once; otherwise {@link resume} is called. What it throws ends the stream. */
  readonly #deliver: (chunk: Buffer) => boolean;
  #ready = true;
  #failed: Error | null = null;
  /** Of the chunk, or of the end, that is being worked on. */
  #done: Done | null = null;

  /** @param codings in the order in which they were applied; not empty */
  constructor(codings: readonly Coding[], firstByte: number, deliver: (chunk: Buffer) => boolean) {
    this.#deliver = deliver;
    const outermostFirst = codings.toReversed();
    // Only of the outermost is the first byte known here; within another, deflate is taken to have its header.
    this.#stages = outermostFirst.map((coding, index) => createDecoder(coding, index === 0 ? firstByte : 8));
    const [first] = this.#stages;
    const last = this.#stages.at(-1);
    if (first === undefined || last === undefined) throw new RangeError("no coding");
    this.#first = first;
    this.#last = last;
    for (const [index, stage] of this.#stages.entries()) {
      stage.on("error", (error: Error) => this.#fail(error));
      const next = this.#stages[index + 1];
      if (next !== undefined) stage.pipe(next);
    }
    last.on("readable", () => this.#drain());
    last.on("end", () => this.#settle());
  }

  write(chunk: Buffer, done: Done): void {
    this.#done = done;
    if (this.#failed !== null) {
      this.#settle();
      return;
    }
    this.#first.write(chunk, (error) => {
      if (error) this.#fail(error);
      // A consumer that is not ready gets the rest before the next chunk is taken.
      else if (this.#drain()) this.#settle();
    });
  }

  end(done: Done): void {
    this.#done = done;
    if (this.#failed !== null) this.#settle();
    else this.#first.end();
  }

  /** The consumer is ready again. */
  resume(): void {
    if (this.#ready) return;
    this.#ready = true;
    const first = this.#first;
    if (this.#drain() && first.writableLength === 0 && !first.writableEnded) this.#settle();
  }

  destroy(): void {
    for (const stage of this.#stages) stage.destroy();
  }

  /** @returns whether the consumer has all there is, and takes more */
  #drain(): boolean {
    while (this.#ready && this.#failed === null) {
      const chunk = this.#last.read() as Buffer | null;
      if (chunk === null) return true;
      try {
        this.#ready = this.#deliver(chunk);
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
      }
    }
    return false;
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    this.#settle();
    this.destroy();
  }

  #settle(): void {
    const done = this.#done;
    this.#done = null;
    done?.(this.#failed);
  }
}
