/** A connection to a socket inside the guest, dialled by its agent, as a Duplex. What it reads is hostile. */
import { Duplex } from "node:stream";
import type { AgentLink, GuestReadable, GuestWritable } from "./link.ts";

export type GuestAddress = { host: string; port: number } | { path: string };

export interface DialOptions {
  signal?: AbortSignal;
  /** How long the guest may take to connect, `ms`. */
  timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Connects to a TCP port or a Unix socket as the guest sees it. Ending the socket shuts down its sending half only.
 *
 * @throws AgentError such as ECONNREFUSED or ETIMEDOUT
 */
export async function dialGuest(link: AgentLink, address: GuestAddress, options: DialOptions = {}): Promise<Duplex> {
  const readable = link.openReadable();
  const writable = link.openWritable();
  const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  try {
    await link.call(
      "dial",
      { ...address, read: readable.streamId, write: writable.streamId, timeoutMs },
      signal === undefined ? {} : { signal },
    );
  } catch (error) {
    readable.destroy();
    writable.destroy();
    throw error;
  }
  return new GuestSocket(readable, writable);
}

class GuestSocket extends Duplex {
  readonly #readable: GuestReadable;
  readonly #writable: GuestWritable;

  constructor(readable: GuestReadable, writable: GuestWritable) {
    super({ allowHalfOpen: true, readableHighWaterMark: 1, writableHighWaterMark: writable.writableHighWaterMark });
    this.#readable = readable;
    this.#writable = writable;
    readable.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) readable.pause();
    });
    readable.pause();
    readable.once("end", () => this.push(null));
    readable.once("error", (error) => this.destroy(error));
    writable.once("error", (error) => this.destroy(error));
  }

  override _read(): void {
    this.#readable.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#writable.write(chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#writable.end(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#readable.destroy();
    // After a clean end there is nothing left to tell; otherwise the guest's end is reset.
    if (!this.#writable.writableFinished) this.#writable.destroy(error ?? undefined);
    callback(error);
  }
}
