/** A capped log of what a machine says, with the time at which each part of it came. */
import { encodeLineRecord } from "../../protocol/line-records.ts";
import { CappedLog } from "../capped-log.ts";
import { LineBlocks } from "./line-blocks.ts";

export class TimedLog implements Disposable {
  readonly #log: CappedLog;
  readonly #blocks = new LineBlocks();

  constructor(file: string) {
    this.#log = new CappedLog(file);
  }

  /** Never throws: a full disk must not end what is being logged. */
  write(chunk: Uint8Array): void {
    this.#writeBlocks(this.#blocks.push(chunk));
  }

  /** Writes a last line without an end. */
  flush(): void {
    this.#writeBlocks(this.#blocks.rest());
  }

  [Symbol.dispose](): void {
    this.flush();
    this.#log[Symbol.dispose]();
  }

  #writeBlocks(blocks: readonly string[]): void {
    for (const text of blocks) this.#log.write(encodeLineRecord({ time: Date.now(), text }));
  }
}
