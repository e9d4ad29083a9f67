/** A server of the sandbox RPC for the client's tests: `ws` in this process, each method a function of the test. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type WebSocket, WebSocketServer } from "ws";
import { decodeBinaryFrame, encodeBinaryFrame } from "../../../src/protocol/binary-frames.ts";
import { decodeBase64, encodeBase64 } from "../../../src/protocol/rpc-base64.ts";
import { STREAM_WINDOW_BYTES } from "../../../src/protocol/rpc-limits.ts";
import { encodeError, type SerializedError } from "../../../src/protocol/rpc-error.ts";
import {
  encodeErrorResult,
  encodeFailure,
  encodeNotification,
  encodeResult,
  type Notification,
  parseClientMessage,
  parseNotification,
  RPC_CODES,
} from "../../../src/protocol/rpc-messages.ts";
import { isRpcMethod, RPC_METHODS, type RpcMethodName, type RpcParams } from "../../../src/protocol/rpc-methods.ts";

export type Methods = {
  [M in RpcMethodName]?: (params: RpcParams<M>, connection: FakeConnection) => unknown;
};

export interface FakeServerOptions {
  methods?: Methods;
  /** Answer the extensions header. Default true. */
  extensions?: boolean;
  refuse?: { status: number; body: string };
  onConnection?: (connection: FakeConnection) => void;
}

/** Throw this in a method to answer with exactly that error object. */
export class Answer extends Error {
  readonly error: SerializedError;
  constructor(error: SerializedError) {
    super(error.message);
    this.error = error;
  }
}

export class FakeConnection {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
  readonly isExtended: boolean;
  /** Notifications other than stream data, in order. */
  readonly notifications: Notification[] = [];
  readonly calls: { method: string; params: unknown }[] = [];
  readonly pings: string[] = [];
  /** Bytes of each stream that the client sent. */
  readonly received = new Map<number, Buffer[]>();
  /** Grants the client whatever it sends. Default true. */
  autoCredit = true;
  onData: ((streamId: number, bytes: Buffer) => void) | undefined;
  #watchers: (() => void)[] = [];

  constructor(socket: WebSocket, request: IncomingMessage, isExtended: boolean) {
    this.socket = socket;
    this.request = request;
    this.isExtended = isExtended;
  }

  notify(notification: Notification): void {
    this.socket.send(encodeNotification(notification));
  }

  start(streamId: number): void {
    this.notify({ method: "$sandbox.stream.start", streamId });
  }

  end(streamId: number): void {
    this.notify({ method: "$sandbox.stream.end", streamId });
  }

  /** Sends one chunk; resolves when it was handed to the system. */
  send(streamId: number, bytes: Uint8Array): Promise<void> {
    const message = this.isExtended
      ? encodeBinaryFrame(streamId, bytes)
      : encodeNotification({ method: "$sandbox.stream.enqueue", streamId, data: encodeBase64(bytes) });
    return new Promise((resolve) => {
      this.socket.send(message, () => resolve());
    });
  }

  /** Sends as fast as the client's credit allows. */
  async sendWithin(streamId: number, chunks: Iterable<Uint8Array>): Promise<void> {
    let windowBytes = STREAM_WINDOW_BYTES;
    let seen = 0;
    const grants = (): Notification[] =>
      this.notifications.filter((item) => item.method === "$sbx.stream.credit" && item.streamId === streamId);
    for (const chunk of chunks) {
      while (this.isExtended && windowBytes < chunk.length) {
        await this.until(() => grants().length > seen);
        for (const grant of grants().slice(seen)) windowBytes += "bytes" in grant ? grant.bytes : 0;
        seen = grants().length;
      }
      windowBytes -= chunk.length;
      await this.send(streamId, chunk);
    }
  }

  textOf(streamId: number): string {
    return Buffer.concat(this.received.get(streamId) ?? []).toString("utf8");
  }

  /** Waits until the test's condition holds; it is looked at after every message. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (condition()) resolve();
        else this.#watchers.push(look);
      };
      look();
    });
  }

  saw(method: Notification["method"], streamId: number): boolean {
    return this.notifications.some(
      (item) => item.method === method && "streamId" in item && item.streamId === streamId,
    );
  }

  take(streamId: number, bytes: Buffer): void {
    const list = this.received.get(streamId) ?? [];
    list.push(bytes);
    this.received.set(streamId, list);
    this.onData?.(streamId, bytes);
    if (this.isExtended && this.autoCredit) {
      this.notify({ method: "$sbx.stream.credit", streamId, bytes: bytes.length });
    }
  }

  changed(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }
}

export class FakeServer implements AsyncDisposable {
  readonly socketPath: string;
  readonly url: string;
  readonly connections: FakeConnection[] = [];
  readonly #servers: Server[];
  readonly #directory: string;
  readonly #sockets = new Set<Socket>();

  constructor(servers: Server[], directory: string, socketPath: string, port: number) {
    this.#servers = servers;
    this.#directory = directory;
    this.socketPath = socketPath;
    this.url = `ws://127.0.0.1:${port}/api/v3/sandbox/x/connect`;
    for (const server of servers) server.on("connection", (socket) => this.#sockets.add(socket));
  }

  get connection(): FakeConnection {
    const connection = this.connections.at(-1);
    if (connection === undefined) throw new Error("nobody has connected");
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export async function startFakeServer(options: FakeServerOptions = {}): Promise<FakeServer> {
  const directory = await mkdtemp(join(tmpdir(), "sbx-fake-"));
  const socketPath = join(directory, "s");
  const servers = [createServer(), createServer()] as const;
  await new Promise<void>((resolve) => servers[0].listen(socketPath, resolve));
  await new Promise<void>((resolve) => servers[1].listen(0, "127.0.0.1", resolve));
  const fake = new FakeServer([...servers], directory, socketPath, (servers[1].address() as AddressInfo).port);
  for (const server of servers) serve(server, fake, options);
  return fake;
}

function serve(server: Server, fake: FakeServer, options: FakeServerOptions): void {
  const isExtended = options.extensions ?? true;
  const webSockets = new WebSocketServer({ noServer: true, maxPayload: 128 * 1024 * 1024, perMessageDeflate: false });
  webSockets.on("headers", (headers, request) => {
    const asked = /\/sandbox\/(sbx_[a-z]{3}_[0-9a-z]{20})\/connect$/.exec(request.url ?? "")?.[1];
    headers.push(`x-deno-sandbox-id: ${asked ?? "sbx_loc_00000000000000000000"}`);
    if (isExtended && request.headers["x-sbx-extensions"] === "1") headers.push("x-sbx-extensions: 1");
  });
  server.on("upgrade", (request, socket, head) => {
    if (options.refuse !== undefined) {
      const { status, body } = options.refuse;
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const agreed = isExtended && request.headers["x-sbx-extensions"] === "1";
      const connection = new FakeConnection(webSocket, request, agreed);
      fake.connections.push(connection);
      webSocket.on("error", () => undefined);
      webSocket.on("message", (data: Buffer, isBinary) => {
        void onMessage(connection, data, isBinary, options.methods ?? {});
        connection.changed();
      });
      options.onConnection?.(connection);
    });
  });
}

async function onMessage(connection: FakeConnection, data: Buffer, isBinary: boolean, methods: Methods): Promise<void> {
  if (isBinary) {
    const { streamId, payload } = decodeBinaryFrame(data);
    connection.take(streamId, payload);
    return;
  }
  const text = data.toString("utf8");
  if (text === "ping") {
    connection.pings.push(text);
    connection.socket.send("pong");
    return;
  }
  const message = parseClientMessage(text);
  if (message.kind === "notification") {
    const notification = parseNotification(message);
    if (notification === undefined) return;
    if (notification.method === "$sandbox.stream.enqueue") {
      connection.take(notification.streamId, decodeBase64(notification.data));
    } else connection.notifications.push(notification);
    return;
  }
  connection.calls.push({ method: message.method, params: message.params });
  connection.socket.send(await answer(connection, message.id, message.method, message.params, methods));
}

async function answer(
  connection: FakeConnection,
  id: number | string,
  method: string,
  params: unknown,
  methods: Methods,
): Promise<string> {
  if (!isRpcMethod(method) || methods[method] === undefined) {
    return encodeFailure(id, RPC_CODES.methodNotFound, "Method not found");
  }
  const parsed = RPC_METHODS[method].params.safeParse(params ?? {});
  if (!parsed.success) return encodeFailure(id, RPC_CODES.invalidParams, "Invalid params", parsed.error.issues);
  try {
    const run = methods[method] as (params: unknown, connection: FakeConnection) => unknown;
    return encodeResult(id, await run(parsed.data, connection));
  } catch (error) {
    return encodeErrorResult(id, error instanceof Answer ? error.error : encodeError(error));
  }
}
