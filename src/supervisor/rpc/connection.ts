/**
 * One client's connection: takes messages apart, calls the methods, sends their answers, and cleans up when the
 * client is gone. Every message is untrusted: what cannot be understood closes the connection, and what a client has
 * under way at one time is bounded.
 */
import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import { decodeBinaryFrame } from "../../protocol/binary-frames.ts";
import { decodeBase64 } from "../../protocol/rpc-base64.ts";
import type { SerializedError } from "../../protocol/rpc-error.ts";
import {
  CLOSE_CODES,
  encodeNotification,
  HEARTBEAT,
  MessageError,
  type Notification,
  parseClientMessage,
  parseNotification,
  type RpcNotificationMessage,
} from "../../protocol/rpc-messages.ts";
import type { Dialect } from "./dialect.ts";
import { Dispatcher } from "./dispatcher.ts";
import { FileHandles } from "./file-handles.ts";
import { Gate } from "./gate.ts";
import type { GuestState } from "./guest-state.ts";
import { IncomingStreams } from "./incoming-streams.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import { OutgoingStreams } from "./outgoing-streams.ts";
import type { GuestProcess } from "./process-table.ts";
import { RpcSocket } from "./rpc-socket.ts";
import type { Session } from "./session.ts";

/** Whole files that one client may have in the supervisor's memory at a time. */
const WHOLE_FILES = 2;
/** Unsent replies above which a client is not listened to: it has to read first. */
const MAX_UNSENT_BYTES = 32 * 1024 * 1024;
/**
 * Bytes of requests under way above which no more are read: contents of files come whole in requests. Far more than
 * one message, so that an `abort` behind it is still read.
 */
const MAX_REQUEST_BYTES = 256 * 1024 * 1024;
/** How long a client may take to answer a close, `ms`. */
const CLOSE_TIMEOUT_MS = 3_000;
/** A WebSocket close reason holds this much. */
const MAX_REASON_BYTES = 123;

export interface RpcConnection {
  /** Ends all streams with an error, then closes. @param reason cut to what a close frame holds */
  close(code: number, reason: string): void;
  /** Settles when the connection is gone and what belonged to it is released. */
  readonly closed: Promise<void>;
}

export interface ServeOptions {
  /** Whether both sides agreed on docs/protocol-supervisor.md. */
  extensions: boolean;
  /** The published protocol's own if absent. */
  dialect?: Dialect;
  /** What the WebSocket runs on: whoever ends his half of it is told how the streams end. */
  transport?: Duplex;
}

/** Streams that nobody reads, replies that the client does not read, and requests that are much together. */
type HoldReason = "incoming" | "outgoing" | "requests";

/** Serves one client until it goes or `close` is called. Never throws: what is wrong closes the connection. */
export function serveConnection(socket: WebSocket, state: GuestState, options: ServeOptions): RpcConnection {
  const connection = new ServedConnection(socket, state, options);
  // A control plane that goes away cannot end the streams of its clients, whose readers would wait for ever. Before the
  // listener of ws itself, which sends nothing more.
  options.transport?.prependOnceListener("end", () => connection.close(CLOSE_CODES.goingAway, "the client hung up"));
  return connection;
}

class ServedConnection implements RpcConnection, Session {
  readonly closed: Promise<void>;
  readonly state: GuestState;
  readonly extensions: boolean;
  readonly dialect: Dialect;
  readonly outgoing: OutgoingStreams;
  readonly incoming: IncomingStreams;
  readonly files: FileHandles;
  readonly wholeFiles = new Gate(WHOLE_FILES);
  readonly copies: Session["copies"] = new Map();
  readonly terminals = new Set<GuestProcess>();
  readonly signal: AbortSignal;
  readonly #ws: WebSocket;
  readonly #socket: RpcSocket;
  readonly #dispatcher: Dispatcher;
  readonly #gone = new AbortController();
  readonly #outputs = new WeakMap<GuestProcess, Promise<unknown>>();
  /** Reasons why the socket is not read. */
  readonly #held = new Set<HoldReason>();

  constructor(ws: WebSocket, state: GuestState, { extensions, dialect = "published" }: ServeOptions) {
    this.#ws = ws;
    this.state = state;
    this.extensions = extensions;
    this.dialect = dialect;
    this.signal = this.#gone.signal;
    this.#socket = new RpcSocket(ws);
    this.outgoing = new OutgoingStreams(this.#socket, extensions);
    const valve = { pause: () => this.#hold("incoming"), resume: () => this.#release("incoming") };
    this.incoming = new IncomingStreams(this.#socket, valve, extensions);
    this.files = new FileHandles(state.link);
    this.#dispatcher = new Dispatcher(this, this.#socket);
    this.closed = new Promise((resolve) => {
      ws.once("close", () => {
        this.#cleanUp();
        resolve();
      });
    });
    ws.on("message", (data, isBinary) => this.#receive(data, isBinary));
    ws.on("error", () => undefined); // a close follows
  }

  close(code: number, reason: string): void {
    this.#abandonStreams({ constructorName: "ConnectionReset", message: reason });
    this.#ws.resume(); // a socket that is not read never sees the answer to its close
    this.#ws.close(code, cutToBytes(reason, MAX_REASON_BYTES));
    const timer = setTimeout(() => this.#ws.terminate(), CLOSE_TIMEOUT_MS);
    void this.closed.then(() => clearTimeout(timer));
  }

  notify(notification: Notification): void {
    this.#socket.send(encodeNotification(notification));
  }

  addOutput(process: GuestProcess, stream: OutgoingStream): void {
    const before = this.#outputs.get(process);
    this.#outputs.set(process, before === undefined ? stream.done : Promise.all([before, stream.done]));
  }

  async outputDone(process: GuestProcess): Promise<void> {
    await this.#outputs.get(process);
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.signal.aborted || !this.#socket.open) return;
    const bytes = toBuffer(data);
    try {
      if (isBinary && this.extensions) {
        const { streamId, payload } = decodeBinaryFrame(bytes);
        this.incoming.receive(streamId, payload);
      } else {
        this.#receiveText(bytes.toString("utf8"));
      }
    } catch (error) {
      this.#refuse(error);
    }
    if (this.#socket.unsentBytes > MAX_UNSENT_BYTES) void this.#waitForReader();
  }

  #receiveText(text: string): void {
    if (text === HEARTBEAT.ping) {
      this.#socket.send(HEARTBEAT.pong);
      return;
    }
    const message = parseClientMessage(text);
    if (message.kind === "notification") {
      this.#receiveNotification(message);
      return;
    }
    void this.#dispatcher.dispatch(message, text.length).then(() => {
      if (this.#held.has("requests") && this.#dispatcher.bytes <= MAX_REQUEST_BYTES) this.#release("requests");
    });
    if (this.#dispatcher.bytes > MAX_REQUEST_BYTES) this.#hold("requests");
  }

  #receiveNotification(message: RpcNotificationMessage): void {
    const notification = parseNotification(message);
    if (notification === undefined) return;
    switch (notification.method) {
      case "$sandbox.stream.start":
        this.incoming.start(notification.streamId);
        break;
      case "$sandbox.stream.enqueue":
        this.incoming.receive(notification.streamId, readChunk(notification.data));
        break;
      case "$sandbox.stream.end":
        this.incoming.finish(notification.streamId);
        break;
      case "$sandbox.stream.error":
        this.incoming.fail(notification.streamId, notification.error);
        break;
      case "$sandbox.stream.cancel":
        this.outgoing.cancel(notification.streamId);
        break;
      case "$sbx.stream.credit":
        if (this.extensions) this.outgoing.credit(notification.streamId, notification.bytes);
        break;
      case "$sandbox.deno.watcher.restart": // goes to clients only
        break;
    }
  }

  #refuse(error: unknown): void {
    if (error instanceof MessageError) this.close(error.closeCode, error.message);
    else this.close(CLOSE_CODES.invalidMessage, error instanceof Error ? error.message : String(error));
  }

  async #waitForReader(): Promise<void> {
    this.#hold("outgoing");
    await this.#socket.writable();
    this.#release("outgoing");
  }

  #hold(reason: HoldReason): void {
    this.#held.add(reason);
    this.#ws.pause();
  }

  #release(reason: HoldReason): void {
    this.#held.delete(reason);
    if (this.#held.size === 0) this.#ws.resume();
  }

  #abandonStreams(error: SerializedError): void {
    this.outgoing.close(error);
    this.incoming.close();
  }

  #cleanUp(): void {
    this.#gone.abort();
    this.#abandonStreams({ constructorName: "ConnectionReset", message: "The connection was closed" });
    this.files.closeAll();
    for (const process of this.terminals) {
      // The line is dead: what the kernel does when a terminal goes away. A process that is gone needs no telling.
      process.signal("SIGHUP", true).catch(() => undefined);
    }
  }
}

function readChunk(data: string): Buffer {
  try {
    return decodeBase64(data);
  } catch (error) {
    throw new MessageError(`a stream chunk: ${String(error)}`);
  }
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

/** Cuts a text to a number of UTF-8 bytes without leaving half a character. */
function cutToBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  return bytes
    .subarray(0, maxBytes)
    .toString("utf8")
    .replace(/\uFFFD+$/, "");
}
