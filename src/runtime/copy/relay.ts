/**
 * A copy stream on its way from one sandbox to another: passed on as it is, but checked first, so that a hostile
 * sandbox reaches the other one only with what a copy may hold.
 */
import { throwIfAborted } from "../abort.ts";
import type { PackTotals } from "./pack.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { SkippedList } from "./skipped-list.ts";

export interface RelayOptions {
  signal?: AbortSignal | undefined;
  onBytes?: (bytes: number) => void;
}

export class Relay {
  readonly totals: PackTotals = { files: 0, bytes: 0 };
  readonly skipped = new SkippedList();

  /**
   * Gives the chunks of `stream` again.
   *
   * @throws SbxError `copy_refused` at the first chunk that breaks the rules, which is not passed on
   */
  async *pass(stream: AsyncIterable<Buffer>, options: RelayOptions = {}): AsyncGenerator<Buffer, void, undefined> {
    const decoder = new RecordDecoder();
    for await (const chunk of stream) {
      throwIfAborted(options.signal, "the copy");
      this.#check(decoder, chunk);
      yield chunk;
      options.onBytes?.(this.totals.bytes);
    }
    decoder.finish();
  }

  #check(decoder: RecordDecoder, chunk: Buffer): void {
    for (const event of decoder.push(chunk)) {
      switch (event.kind) {
        case "entry":
          if (event.entry.type !== "directory") this.totals.files += 1;
          break;
        case "data":
          this.totals.bytes += event.bytes.length;
          break;
        case "hole":
          this.totals.bytes += event.bytes;
          break;
        case "skipped":
          this.skipped.add(event.path.toString("utf8"), event.reason);
          break;
        case "endOfFile":
        case "end":
          break;
      }
    }
  }
}
