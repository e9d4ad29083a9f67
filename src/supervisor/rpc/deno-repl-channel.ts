/**
 * The wire of `deno repl --json`: on descriptor 3, messages of a little-endian u32 length and JSON, one answer a
 * request, in order. The process at the other end is the guest's: its answers are bounded and checked.
 */
import * as z from "zod/mini";
import type { GuestReadable, GuestWritable } from "../../guest/link.ts";
import { CallError } from "./call-error.ts";

const LENGTH_BYTES = 4;
/** Longest answer: a result travels as one JSON text. */
const MAX_ANSWER_BYTES = 48 * 1024 * 1024;

const ANSWER = z.discriminatedUnion("type", [
  z.object({ type: z.literal("RunSuccess"), output: z.optional(z.nullable(z.string())) }),
  z.object({ type: z.literal("RunFailure"), text: z.string() }),
  z.object({ type: z.literal("Error"), error: z.string() }),
]);
export type ReplAnswer = z.output<typeof ANSWER>;

interface Waiting {
  resolve: (answer: ReplAnswer) => void;
  reject: (error: Error) => void;
}

export class ReplChannel {
  readonly #readable: GuestReadable;
  readonly #writable: GuestWritable;
  #waiting: Waiting[] = [];
  #over: Error | undefined;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(readable: GuestReadable, writable: GuestWritable) {
    this.#readable = readable;
    this.#writable = writable;
    readable.on("data", (chunk: Buffer) => this.#receive(chunk));
    readable.once("close", () => this.#end(replGone()));
    writable.once("error", () => this.#end(replGone()));
  }

  /** Evaluates code; with `output`, the answer carries its value as a string. @throws CallError if the REPL ends */
  async run(code: string, output: boolean): Promise<ReplAnswer> {
    if (this.#over !== undefined) throw this.#over;
    const message = Buffer.from(JSON.stringify({ type: "Run", code, output }));
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(message.length, 0);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#writable.write(length);
      this.#writable.write(message);
    });
  }

  close(): void {
    this.#end(replGone());
  }

  #receive(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    try {
      for (let answer = this.#take(); answer !== undefined; answer = this.#take()) {
        const waiting = this.#waiting.shift();
        if (waiting === undefined) throw new Error("an answer to no question");
        waiting.resolve(answer);
      }
    } catch (cause) {
      const message = `the REPL broke its protocol: ${cause instanceof Error ? cause.message.slice(0, 500) : ""}`;
      this.#end(new CallError({ constructorName: "InvalidData", message }));
    }
  }

  /** The next whole answer; bytes are put together only when all of it is there. */
  #take(): ReplAnswer | undefined {
    if (this.#bytes < LENGTH_BYTES) return undefined;
    const first = this.#parts[0];
    if (first === undefined || first.length < LENGTH_BYTES) this.#parts = [Buffer.concat(this.#parts)];
    const length = this.#parts[0]?.readUInt32LE(0) ?? 0;
    if (length > MAX_ANSWER_BYTES) throw new Error(`an answer of ${length} bytes`);
    if (this.#bytes < LENGTH_BYTES + length) return undefined;
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [bytes.subarray(LENGTH_BYTES + length)];
    this.#bytes -= LENGTH_BYTES + length;
    return ANSWER.parse(JSON.parse(bytes.toString("utf8", LENGTH_BYTES, LENGTH_BYTES + length)));
  }

  #end(error: Error): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#parts = [];
    this.#readable.destroy();
    this.#writable.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

function replGone(): CallError {
  return new CallError({ constructorName: "BrokenPipe", code: "EPIPE", message: "the REPL has ended" });
}
