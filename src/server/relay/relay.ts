/**
 * Joins a client's socket with a connection to a sandbox's RPC. Bytes pass as they are, each way as fast as the other end
 * takes them, so what a client sees is what the sandbox's supervisor says. The server adds a trace id to the answer of
 * the handshake, and may end the conversation between two frames.
 */
import type { Duplex } from "node:stream";
import { TRACE_HEADER } from "../http/answers.ts";
import { closeFrame, FrameBoundary } from "./frame-boundary.ts";
import { freeWhenWritten } from "./free-chunk.ts";
import { CLOSE_POLICY } from "./relays.ts";

const HEAD_END = "\r\n\r\n";
/** Of the handshake's answer, `bytes`. */
const MAX_HEAD_BYTES = 64 * 1024;
/** A client that does not answer a Close, and a frame that does not end, are waited for this long, `ms`. */
const CLOSE_TIMEOUT_MS = 2000;
/** What a client has to read the last words of a sandbox in, `ms`. */
const READ_TIMEOUT_MS = 30_000;
/** What the sandbox has to end the client's streams in, on a machine that is busy, `ms`. */
const STREAMS_TIMEOUT_MS = 5000;
/** The same where the client's token does not hold any more. */
const SHORT_STREAMS_TIMEOUT_MS = 1000;

export interface RelayOptions {
  client: Duplex;
  /** What the client has sent behind its handshake. */
  early: Buffer;
  upstream: Duplex;
  traceId: string;
}

export class Relay {
  /** When both ends are closed. */
  readonly closed: Promise<void>;
  readonly #client: Duplex;
  readonly #upstream: Duplex;
  readonly #traceId: string;
  readonly #frames = new FrameBoundary();
  /** What has come of the answer's head; `undefined` once it is through. */
  #head: Buffer | undefined = Buffer.alloc(0);
  #isUpgraded = false;
  /** Waits for the end of the client's streams, and of a frame. */
  #goodbye: Buffer | undefined;
  /** The sandbox has had its time. */
  #isLate = false;
  #isOver = false;

  constructor({ client, early, upstream, traceId }: RelayOptions) {
    this.#client = client;
    this.#upstream = upstream;
    this.#traceId = traceId;
    client.on("error", () => undefined).once("end", () => this.#hangUpAfter(CLOSE_TIMEOUT_MS));
    client.once("close", () => {
      this.#isOver = true;
      upstream.destroy();
    });
    upstream.on("error", () => undefined).once("close", () => this.#letGo());
    this.closed = Promise.all([client, upstream].map(closeOf)).then(() => undefined);
    upstream.on("data", (chunk: Buffer) => this.#fromSandbox(chunk));
    upstream.once("end", () => this.#ended());
    if (early.length > 0) upstream.write(early);
    client.pipe(upstream);
  }

  /**
   * Has the sandbox end the client's streams (it does when this end of its connection does), then says goodbye between two
   * frames and hangs up.
   */
  close(code: number, reason: string): void {
    if (this.#isOver || this.#goodbye !== undefined) return;
    this.#goodbye = closeFrame(code, reason);
    this.#client.unpipe(this.#upstream);
    this.#client.resume();
    this.#upstream.end();
    const patienceMs = code === CLOSE_POLICY ? SHORT_STREAMS_TIMEOUT_MS : STREAMS_TIMEOUT_MS;
    this.#hangUpAfter(patienceMs + CLOSE_TIMEOUT_MS);
    const timer = setTimeout(() => this.#stopWaiting(), patienceMs).unref();
    this.#client.once("close", () => clearTimeout(timer));
    if (!this.#isUpgraded) this.#client.destroy();
  }

  #fromSandbox(chunk: Buffer): void {
    if (this.#isOver) return;
    const bytes = this.#head === undefined ? chunk : this.#throughHead(chunk);
    if (bytes.length === 0) return;
    if (this.#goodbye === undefined || !this.#isUpgraded) this.#send(bytes);
    else this.#sendLast(bytes);
  }

  /** Whole frames up to the sandbox's own Close, whose place the server's takes. */
  #sendLast(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && !this.#isOver;) {
      if (this.#frames.isBetweenFrames && (this.#isLate || isClose(bytes[at]))) {
        this.#sayGoodbye();
        return;
      }
      const length = this.#frames.advance(bytes.subarray(at), true);
      this.#write(bytes.subarray(at, at + length));
      at += length;
    }
    if (this.#isLate && this.#frames.isBetweenFrames) this.#sayGoodbye();
  }

  /** The sandbox is gone; the client still reads what it has said. */
  #letGo(): void {
    this.#isOver = true;
    this.#client.unpipe(this.#upstream);
    this.#client.resume();
    this.#endClient();
  }

  #endClient(): void {
    this.#client.end(() => this.#hangUpAfter(CLOSE_TIMEOUT_MS));
    this.#hangUpAfter(READ_TIMEOUT_MS);
  }

  #hangUpAfter(ms: number): void {
    if (this.#client.destroyed) return;
    const timer = setTimeout(() => this.#client.destroy(), ms).unref();
    this.#client.once("close", () => clearTimeout(timer));
  }

  #stopWaiting(): void {
    this.#isLate = true;
    if (!this.#isOver && this.#frames.isBetweenFrames) this.#sayGoodbye();
  }

  #ended(): void {
    if (this.#goodbye !== undefined && !this.#isOver && this.#frames.isBetweenFrames) this.#sayGoodbye();
    else this.#endClient();
  }

  /** The answer's head with the trace id, and what came behind it; nothing while it is not whole. */
  #throughHead(chunk: Buffer): Buffer {
    const received = Buffer.concat([this.#head ?? Buffer.alloc(0), chunk]);
    const end = received.indexOf(HEAD_END);
    if (end === -1) {
      this.#head = received;
      if (received.length > MAX_HEAD_BYTES) this.#client.destroy();
      return Buffer.alloc(0);
    }
    this.#head = undefined;
    const head = received.toString("latin1", 0, end);
    this.#isUpgraded = /^HTTP\/1\.1 101 /.test(head);
    this.#client.write(`${head}\r\n${TRACE_HEADER}: ${this.#traceId}${HEAD_END}`, "latin1");
    return received.subarray(end + HEAD_END.length);
  }

  #send(bytes: Buffer): void {
    if (this.#isUpgraded) this.#frames.advance(bytes);
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    if (this.#client.write(bytes, freeWhenWritten(bytes, this.#client)) || this.#upstream.isPaused()) return;
    this.#upstream.pause();
    this.#client.once("drain", () => this.#upstream.resume());
  }

  #sayGoodbye(): void {
    this.#isOver = true;
    this.#client.end(this.#goodbye);
    this.#upstream.destroy();
  }
}

async function closeOf(end: Duplex): Promise<void> {
  return new Promise((resolve) => void end.once("close", resolve));
}

/** By the first byte of a frame (RFC 6455, section 5.2). */
function isClose(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0x0f) === 0x08;
}
