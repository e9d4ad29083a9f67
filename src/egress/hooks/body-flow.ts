/** Bodies on the link to the hook process: what each end needs to send one within its credit, and to receive one. */
import { Readable } from "node:stream";
import { CHUNK_BYTES, WINDOW_BYTES } from "./hook-messages.ts";
import type { HookLink } from "./hook-link.ts";

/** Counts what may be sent. */
export class CreditGate {
  #bytes: number;
  #closed = false;
  #waiting: (() => void) | undefined;

  constructor(initialBytes: number) {
    this.#bytes = initialBytes;
  }

  get closed(): boolean {
    return this.#closed;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    this.#waiting?.();
  }

  /** Nothing may be sent any more. */
  close(): void {
    this.#closed = true;
    this.#waiting?.();
  }

  /** Resolves when something may be sent. False: never more. Has one caller at a time. */
  async opened(): Promise<boolean> {
    while (!this.#closed && this.#bytes <= 0) {
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
    return !this.#closed;
  }

  /** How many of `wanted` bytes may be sent now; 0 when never more. */
  async take(wanted: number): Promise<number> {
    if (!(await this.opened())) return 0;
    const granted = Math.min(wanted, this.#bytes);
    this.#bytes -= granted;
    return granted;
  }
}

/** Sends one part of a body. False: the other end wants no more. */
export async function sendPart(link: HookLink, id: number, gate: CreditGate, part: Uint8Array): Promise<boolean> {
  for (let rest = part; rest.length > 0;) {
    const granted = await gate.take(Math.min(rest.length, CHUNK_BYTES));
    if (granted === 0) return false;
    link.sendData(id, rest.subarray(0, granted));
    rest = rest.subarray(granted);
    await link.room();
  }
  return true;
}

/** A body that arrives. Never holds more than its window. */
export class IncomingBody {
  readonly #grant: (bytes: number) => void;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** What the other end may still send. */
  #creditBytes: number;
  #over: { failure: Error | null } | undefined;
  #waiting: (() => void) | undefined;

  /** @param grant called with what more the other end may send */
  constructor(initialCreditBytes: number, grant: (bytes: number) => void) {
    this.#creditBytes = initialCreditBytes;
    this.#grant = grant;
  }

  /** @throws Error when the other end sends more than it may */
  push(part: Buffer): void {
    if (this.#over !== undefined) return;
    this.#creditBytes -= part.length;
    if (this.#creditBytes < 0) throw new Error("more of a body than was asked for");
    this.#queue.push(part);
    this.#queuedBytes += part.length;
    this.#waiting?.();
  }

  /** What has arrived can still be read, unless it failed. */
  finish(failure: Error | null): void {
    if (this.#over !== undefined) return;
    this.#over = { failure };
    if (failure !== null) this.#queue.length = 0;
    this.#waiting?.();
  }

  /** The next part; `null` at the end. Has one caller at a time. @throws the failure */
  async next(): Promise<Buffer | null> {
    for (;;) {
      const part = this.#queue.shift();
      if (part !== undefined) {
        this.#queuedBytes -= part.length;
        return part;
      }
      if (this.#over !== undefined) {
        if (this.#over.failure !== null) throw this.#over.failure;
        return null;
      }
      this.#ask();
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  #ask(): void {
    const missing = WINDOW_BYTES - this.#creditBytes - this.#queuedBytes;
    if (missing < WINDOW_BYTES / 2) return;
    this.#creditBytes += missing;
    this.#grant(missing);
  }
}

/** @param cancel called when the stream is destroyed before its end */
export function toReadable(body: IncomingBody, cancel: () => void): Readable {
  let ended = false;
  return new Readable({
    highWaterMark: CHUNK_BYTES,
    read() {
      body.next().then(
        (part) => {
          ended = part === null;
          this.push(part);
        },
        (error: unknown) => this.destroy(error as Error),
      );
    },
    destroy(error, callback) {
      if (!ended) cancel();
      callback(error);
    },
  });
}
