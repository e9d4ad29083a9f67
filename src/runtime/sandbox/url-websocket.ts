/**
 * A WebSocket to a URL, by the `ws` package, which is loaded when the first one is opened. The other end is a control
 * plane; what it sends is untrusted.
 */
import type { Agent, IncomingMessage } from "node:http";
import type { ClientOptions, WebSocket } from "ws";
import { MAX_CLIENT_MESSAGE_BYTES } from "../../protocol/rpc-limits.ts";
import { abortedError, throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";
import { MAX_HANDSHAKE_BYTES, refusalError } from "./handshake.ts";
import { CLOSE_TIMEOUT_MS, type MessageSocket, type MessageSocketEvents } from "./message-socket.ts";

/** How long the opening handshake may take if nobody says otherwise, `ms`. */
const HANDSHAKE_TIMEOUT_MS = 120_000;

export interface UrlWebSocketOptions {
  signal?: AbortSignal | undefined;
  /** Opens the connection, through a proxy perhaps; a direct one if absent. */
  agent?: Agent | undefined;
  /** How long the opening handshake may take. */
  handshakeTimeoutMs?: number | undefined;
}

/**
 * Connects to a control plane.
 *
 * @throws SbxError `connection_closed` if there is no connection, `aborted`, or what the refusal says
 */
export async function openUrlWebSocket(
  url: string,
  headers: Readonly<Record<string, string>>,
  { signal, agent, handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS }: UrlWebSocketOptions = {},
): Promise<MessageSocket> {
  throwIfAborted(signal, "connecting to the sandbox");
  const { WebSocket } = await import("ws");
  const options: ClientOptions & { closeTimeout: number } = {
    headers: { ...headers },
    perMessageDeflate: false,
    maxPayload: MAX_CLIENT_MESSAGE_BYTES,
    handshakeTimeout: handshakeTimeoutMs,
    closeTimeout: CLOSE_TIMEOUT_MS,
    allowSynchronousEvents: true,
    ...(agent === undefined ? {} : { agent }),
  };
  const socket = new WebSocket(url, options);
  socket.binaryType = "fragments";
  const upgraded = new Promise<IncomingMessage>((resolve) => socket.once("upgrade", resolve));
  const onAbort = (): void => socket.terminate();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await opened(socket, url);
    return new UrlWebSocket(socket, await upgraded);
  } catch (error) {
    socket.terminate();
    if (signal?.aborted === true) throw abortedError(signal, "connecting to the sandbox");
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

function opened(socket: WebSocket, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Paused before anything else runs: what follows the answer at once waits for `start`.
    socket.once("open", () => {
      socket.pause();
      resolve();
    });
    // Stays attached: an abort makes `ws` report one more error, which nobody waits for any longer.
    socket.on("error", (cause) => {
      reject(new SbxError("connection_closed", `no connection to the sandbox at ${new URL(url).origin}`, { cause }));
    });
    socket.once("unexpected-response", (_request, response) => {
      readBody(response).then((body) => reject(refusalError(refusalOf(response, body))), reject);
    });
  });
}

function refusalOf(response: IncomingMessage, body: string): Parameters<typeof refusalError>[0] {
  return { status: response.statusCode ?? 0, headers: plainHeaders(response), body };
}

async function readBody(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_HANDSHAKE_BYTES) break;
  }
  return Buffer.concat(parts).toString("utf8", 0, MAX_HANDSHAKE_BYTES);
}

function plainHeaders(response: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return headers;
}

class UrlWebSocket implements MessageSocket {
  readonly headers: Readonly<Record<string, string>>;
  readonly #socket: WebSocket;
  #error: Error | undefined;

  constructor(socket: WebSocket, answer: IncomingMessage) {
    this.#socket = socket;
    this.headers = plainHeaders(answer);
  }

  start(events: MessageSocketEvents): void {
    const socket = this.#socket;
    socket.on("message", (data, isBinary) => {
      const parts = Array.isArray(data) ? data : [Buffer.isBuffer(data) ? data : Buffer.from(data)];
      const totalBytes = parts.reduce((sum, part) => sum + part.length, 0);
      if (isBinary) events.binary(parts, totalBytes);
      else events.text(Buffer.concat(parts, totalBytes).toString("utf8"));
    });
    socket.on("error", (error) => (this.#error ??= error));
    socket.on("close", (code, reason) => events.close(code, reason.toString("utf8"), this.#error));
    if (socket.readyState === socket.CLOSED) queueMicrotask(() => events.close(1006, "", this.#error));
    else socket.resume();
  }

  sendText(text: string, written?: () => void): void {
    this.#send(text, false, written);
  }

  sendBinary(parts: readonly Uint8Array[], written?: () => void): void {
    this.#send(Buffer.concat(parts), true, written);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(code: number, reason: string): void {
    this.#socket.resume();
    if (code === 1005) this.#socket.close();
    else this.#socket.close(code, Buffer.from(reason, "utf8").subarray(0, 123));
  }

  destroy(error?: Error): void {
    this.#error ??= error;
    this.#socket.terminate();
  }

  #send(data: string | Buffer, binary: boolean, written?: () => void): void {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return;
    socket.send(data, { binary }, (error) => {
      if (!(error instanceof Error)) written?.();
    });
  }
}
