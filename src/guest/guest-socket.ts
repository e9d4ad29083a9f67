/** A connection to a socket inside the guest, dialled by its agent, as a Duplex. What it reads is hostile. */
import { Duplex } from "node:stream";
import { AgentError, type AgentLink, type GuestReadable, type GuestWritable } from "./link.ts";

/** A TCP port, or a Unix socket that is connected to with a user's rights (by default those of `app`). */
export type GuestAddress = { host: string; port: number } | { path: string; user?: string };

export interface DialOptions {
  signal?: AbortSignal;
  /** How long the guest may take to connect, `ms`. */
  timeoutMs?: number;
  /** The first bytes to be sent. They leave with the call, so that the connection costs no round trip of its own. */
  first?: Buffer | undefined;
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
  const { signal, timeoutMs = DEFAULT_TIMEOUT_MS, first } = options;
  try {
    if (first !== undefined) writable.write(first);
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

/** Two streams of the link that are the two directions of one connection. */
export class GuestSocket extends Duplex {
  readonly #readable: GuestReadable;
  readonly #writable: GuestWritable;
  #isStopped = false;

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
    // It may have been stopped before this connection was known to stand.
    if (writable.errored !== null) this.#writeFailed(writable.errored);
    else writable.once("error", (error) => this.#writeFailed(error));
  }

  override _read(): void {
    this.#readable.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    // A server that answers and hangs up without reading everything: its answer still counts, so the rest that is
    // written goes nowhere, quietly, until that has been read.
    if (this.#isStopped) callback();
    else this.#writable.write(chunk, (error) => callback(isStop(error) ? null : error));
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#isStopped) callback();
    else this.#writable.end(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#readable.destroy();
    // After a clean end there is nothing left to tell; otherwise the guest's end is reset.
    if (!this.#writable.writableFinished) this.#writable.destroy(error ?? undefined);
    callback(error);
  }

  #writeFailed(error: Error): void {
    if (!isStop(error)) {
      this.destroy(error);
      return;
    }
    this.#isStopped = true;
    if (this.readableEnded) this.destroy();
    else this.once("end", () => this.destroy());
  }
}

/** The reader in the guest wants no more (LinkWritable). */
function isStop(error: Error | null | undefined): boolean {
  return error instanceof AgentError && error.code === "EPIPE";
}
