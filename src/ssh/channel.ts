/**
 * One channel (RFC 4254, section 5): bytes both ways, each way with a window. What the client sends goes to a writable
 * stream, and the window opens again when that has taken it; what the guest sends waits for the client's window and for
 * its socket. So neither side makes this process hold more than a window.
 */
import type { Readable, Writable } from "node:stream";
import { LAST_WORDS_MS, MAX_DATA_BYTES, MAX_WAITING_MESSAGES, WINDOW_BYTES, WINDOW_STEP_BYTES } from "./limits.ts";
import type { MessageLink } from "./message-link.ts";
import { encodePayload, MSG, ProtocolError, type Field } from "./payload.ts";

/** The only kind of extended data there is. */
const STDERR = 1;
/** Up to this length data that waits is put together. */
const GATHERED_BYTES = 4096;

export interface ChannelPeer {
  /** Number of the channel at the client. */
  id: number;
  windowBytes: number;
  /** Longest data that it takes at once. */
  maxBytes: number;
}

export class Channel {
  readonly id: number;
  readonly #transport: MessageLink;
  readonly #peer: ChannelPeer;
  /** Called when both sides have closed, or the connection is over. */
  readonly #forget: () => void;
  readonly #onClosed: (() => void)[] = [];
  #windowBytes = WINDOW_BYTES;
  /** Bytes that were taken and that the client has not been told of. */
  #takenBytes = 0;
  #sink: Writable | undefined;
  /** Whether it is known where data goes. */
  #isOpenForData = false;
  /** What came before, or while the sink was busy. */
  #queue: Buffer[] = [];
  #peerEnded = false;
  #sentEof = false;
  #sentClose = false;
  #over = false;
  #isForgotten = false;
  #lastTimer: NodeJS.Timeout | undefined;
  readonly #waiting: (() => void)[] = [];
  /** Requests that wait for their answer, and those behind them; undefined is not known yet. */
  readonly #answers: { succeeded: boolean | undefined }[] = [];

  constructor(id: number, transport: MessageLink, peer: ChannelPeer, forget: () => void) {
    this.id = id;
    this.#transport = transport;
    this.#peer = peer;
    this.#forget = forget;
  }

  get isOver(): boolean {
    return this.#over || this.#sentClose;
  }

  /** Runs when the client has closed the channel, or is gone. */
  onClosed(action: () => void): void {
    if (this.#over) action();
    else this.#onClosed.push(action);
  }

  confirm(): void {
    this.#send(MSG.channelOpenConfirmation, this.id, WINDOW_BYTES, MAX_DATA_BYTES);
  }

  /**
   * Answers carry no number, so they leave in the order of their requests (RFC 4254, 5.4), whenever each is known.
   *
   * @throws ProtocolError for a client that asks and asks without waiting
   */
  expectAnswer(): (succeeded: boolean) => void {
    if (this.#answers.length >= MAX_WAITING_MESSAGES) throw new ProtocolError("too many requests before an answer");
    const own: { succeeded: boolean | undefined } = { succeeded: undefined };
    this.#answers.push(own);
    return (succeeded) => {
      own.succeeded = succeeded;
      while (this.#answers[0]?.succeeded !== undefined) {
        const isFine = this.#answers.shift()?.succeeded === true;
        if (!this.isOver) this.#send(isFine ? MSG.channelSuccess : MSG.channelFailure);
      }
    };
  }

  /** Tells the client something about the channel; a client that wants an answer never gets to it. */
  request(type: string, ...fields: readonly Field[]): void {
    if (!this.isOver) this.#send(MSG.channelRequest, type, false, ...fields);
  }

  /** Where data of the client's goes from now on, what has come already included; nowhere without a sink. */
  receiveInto(sink: Writable | undefined): void {
    this.#sink = sink;
    sink?.on("error", () => undefined); // it takes no more: what comes is thrown away
    this.#isOpenForData = true;
    if (this.#isForgotten) {
      sink?.destroy();
      return;
    }
    this.#flush();
    if (this.#peerEnded || this.#over) sink?.end();
  }

  /** @throws ProtocolError for more than the window */
  data(chunk: Buffer): void {
    this.#windowBytes -= chunk.length;
    if (this.#windowBytes < 0) throw new ProtocolError("more data than the window has room for");
    if (this.#peerEnded) throw new ProtocolError("data behind its end");
    if (chunk.length === 0) return; // No window bounds how often.
    if (this.#isOpenForData && !this.#isBusy) this.#pass(chunk);
    else gather(this.#queue, chunk);
  }

  eofReceived(): void {
    this.#peerEnded = true;
    if (!this.#isOpenForData) return;
    this.#flush();
    this.#sink?.end();
  }

  /** The client's CLOSE. What it sent before still reaches the guest if that takes it; the channel counts until then. */
  closeReceived(): void {
    if (this.#over) return;
    this.close();
    this.#over = true;
    this.#wake();
    for (const action of this.#onClosed.splice(0)) action();
    const sink = this.#sink;
    if (sink === undefined || sink.destroyed || sink.writableFinished) {
      this.abandon();
      return;
    }
    this.#flush();
    const done = (): void => this.abandon();
    sink.once("finish", done).once("close", done);
    this.#lastTimer = setTimeout(done, LAST_WORDS_MS).unref();
    sink.end();
  }

  /** The end of the connection: nothing is left of the channel. */
  abandon(): void {
    if (this.#isForgotten) return;
    this.#isForgotten = true;
    this.#over = true;
    clearTimeout(this.#lastTimer);
    this.#queue = [];
    this.#wake();
    for (const action of this.#onClosed.splice(0)) action();
    this.#sink?.destroy();
    this.#forget();
  }

  adjust(bytes: number): void {
    this.#peer.windowBytes += bytes;
    if (this.#peer.windowBytes > 0xffff_ffff) throw new ProtocolError("a window beyond its limit");
    this.#wake();
  }

  /** Sends all that a stream has. False if the client did not want all of it; the stream is destroyed then. */
  async sendAll(source: Readable, kind: "stdout" | "stderr" = "stdout"): Promise<boolean> {
    // A connection's other direction may have something to finish.
    const stop = (): unknown => source !== (this.#sink as unknown) && source.destroy();
    this.onClosed(stop);
    try {
      // The other direction of a connection goes on when this one has ended.
      for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        if (await this.send(chunk, kind)) continue;
        stop();
        return false;
      }
      return true;
    } catch {
      return false; // The guest's end of it broke: there is nothing more to send.
    }
  }

  /** Settles when the data has left for the client; false if it cannot. */
  async send(data: Buffer, kind: "stdout" | "stderr" = "stdout"): Promise<boolean> {
    const most = Math.min(this.#peer.maxBytes, MAX_DATA_BYTES);
    for (let at = 0; at < data.length;) {
      if (!this.#transport.hasRoom) await this.#transport.writable();
      while (this.#peer.windowBytes === 0 && !this.#isDeaf) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      if (this.#isDeaf) return false;
      if (!this.#transport.hasRoom) continue;
      const length = Math.min(data.length - at, most, this.#peer.windowBytes);
      this.#peer.windowBytes -= length;
      const part = data.subarray(at, at + length);
      // The data is the last field of both: its length, and then itself.
      const head = [this.#peer.id, ...(kind === "stdout" ? [] : [STDERR]), length];
      this.#transport.send(encodePayload(kind === "stdout" ? MSG.channelData : MSG.channelExtendedData, ...head), part);
      at += length;
    }
    return !this.#isDeaf;
  }

  eof(): void {
    if (this.#sentEof || this.isOver) return;
    this.#sentEof = true;
    this.#send(MSG.channelEof);
  }

  /** Sends nothing more. The channel is over when the client has closed it as well. */
  close(): void {
    if (this.#sentClose || this.#over) return;
    this.eof();
    this.#send(MSG.channelClose);
    this.#sentClose = true;
    this.#wake();
  }

  get #isDeaf(): boolean {
    return this.isOver || this.#transport.isOver;
  }

  get #isBusy(): boolean {
    return this.#sink !== undefined && this.#sink.writableLength > 0;
  }

  #pass(chunk: Buffer): void {
    const sink = this.#sink;
    if (sink === undefined || sink.destroyed || sink.writableEnded) {
      this.#taken(chunk.length);
      return;
    }
    sink.write(chunk, () => {
      this.#taken(chunk.length);
      this.#flush();
    });
  }

  #flush(): void {
    for (const chunk of this.#queue.splice(0)) this.#pass(chunk);
  }

  #taken(bytes: number): void {
    this.#takenBytes += bytes;
    this.#lastTimer?.refresh();
    if (this.#takenBytes < WINDOW_STEP_BYTES || this.isOver || this.#peerEnded) return;
    this.#windowBytes += this.#takenBytes;
    this.#send(MSG.channelWindowAdjust, this.#takenBytes);
    this.#takenBytes = 0;
  }

  #send(message: number, ...fields: readonly Field[]): void {
    this.#transport.send(encodePayload(message, this.#peer.id, ...fields));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Adds to what waits. A window of single bytes would take hundreds of times its size as buffers of their own. */
function gather(queue: Buffer[], chunk: Buffer): void {
  const last = queue.at(-1);
  if (last === undefined || last.length + chunk.length > GATHERED_BYTES) queue.push(chunk);
  else queue[queue.length - 1] = Buffer.concat([last, chunk]);
}
