/** A client of the RPC server for tests: sends what it is told and keeps every message in the order of arrival. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import type { AgentLink } from "../../../src/guest/link.ts";
import { decodeBinaryFrame, encodeBinaryFrame } from "../../../src/protocol/binary-frames.ts";
import type { SerializedError } from "../../../src/protocol/rpc-error.ts";
import type { SandboxInfo } from "../../../src/runtime/types.ts";
import { dialectOf } from "../../../src/supervisor/rpc/dialect.ts";
import { type RpcConnection, serveConnection } from "../../../src/supervisor/rpc/connection.ts";
import { createGuestState, type GuestState, type GuestStateOptions } from "../../../src/supervisor/rpc/guest-state.ts";
import { openScriptedLink, type Script, type ScriptedAgent } from "./scripted-agent.ts";

export interface Message {
  id?: number | string;
  method?: string;
  params?: Record<string, unknown> & { streamId?: number };
  result?: { ok?: unknown; error?: SerializedError };
  error?: { code: number; message: string; data?: unknown };
  /** A binary stream frame. */
  binary?: { streamId: number; payload: Buffer };
  /** A text that is not JSON. */
  text?: string;
}

export class TestClient {
  readonly socket: WebSocket;
  readonly messages: Message[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #nextId = 0;
  readonly #waiters = new Set<() => void>();

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      this.messages.push(isBinary ? { binary: decodeBinaryFrame(data) } : parse(data.toString()));
      for (const wake of [...this.#waiters]) wake();
    });
    this.closed = once(socket, "close").then(([code, reason]) => {
      for (const wake of [...this.#waiters]) wake();
      return { code: code as number, reason: String(reason) };
    });
  }

  send(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Sends a request without waiting; returns its id. */
  request(method: string, params: unknown): number {
    const id = this.#nextId++;
    this.send({ jsonrpc: "2.0", id, method, params });
    return id;
  }

  notify(method: string, params: unknown): void {
    this.send({ jsonrpc: "2.0", method, params });
  }

  chunk(streamId: number, bytes: Buffer | string): void {
    this.notify("$sandbox.stream.enqueue", { streamId, data: Buffer.from(bytes).toString("base64") });
  }

  binary(streamId: number, bytes: Buffer | string): void {
    this.socket.send(encodeBinaryFrame(streamId, Buffer.from(bytes)));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          resolve();
        };
        this.#waiters.add(wake);
      });
    }
  }

  async message(matches: (message: Message) => boolean): Promise<Message> {
    await this.until(() => this.messages.some(matches));
    const found = this.messages.find(matches);
    assert.ok(found);
    return found;
  }

  async reply(id: number): Promise<Message> {
    return this.message((message) => message.id === id);
  }

  /** Calls and returns `ok`; fails the test on an error. */
  async call<T = unknown>(method: string, params: unknown): Promise<T> {
    const reply = await this.reply(this.request(method, params));
    assert.ok(reply.result !== undefined && "ok" in reply.result, `${method}: ${JSON.stringify(reply)}`);
    return reply.result.ok as T;
  }

  /** Calls and returns `result.error`; fails the test on success. */
  async callError(method: string, params: unknown): Promise<SerializedError> {
    const reply = await this.reply(this.request(method, params));
    assert.ok(reply.result?.error, `${method}: ${JSON.stringify(reply)}`);
    return reply.result.error;
  }

  /** Notifications about a stream so far, by their last word, with decoded data. */
  stream(streamId: number): string[] {
    return this.messages
      .filter((m) => m.params?.streamId === streamId || m.binary?.streamId === streamId)
      .map((m) => {
        if (m.binary !== undefined) return `data:${m.binary.payload.toString()}`;
        const word = String(m.method).split(".").at(-1) ?? "";
        return word === "enqueue" ? `data:${Buffer.from(String(m.params?.["data"]), "base64").toString()}` : word;
      });
  }

  /** Waits for the end of a stream and returns its bytes. */
  async streamBytes(streamId: number): Promise<Buffer> {
    await this.message((m) => m.params?.streamId === streamId && /\.(?:end|error)$/.test(m.method ?? ""));
    return Buffer.concat(
      this.messages.flatMap((m) => {
        if (m.binary?.streamId === streamId) return [m.binary.payload];
        if (m.params?.streamId !== streamId || m.method !== "$sandbox.stream.enqueue") return [];
        return [Buffer.from(String(m.params["data"]), "base64")];
      }),
    );
  }

  /** Position of the first message for which `matches` holds; fails the test if there is none. */
  index(matches: (message: Message) => boolean): number {
    const at = this.messages.findIndex(matches);
    assert.notEqual(at, -1);
    return at;
  }

  /** A call and its answer: everything sent before has been handled. */
  async settle(): Promise<void> {
    await this.call("envGet", { key: "NONE" });
  }
}

export interface Bench {
  agent: ScriptedAgent;
  link: AgentLink;
  state: GuestState;
  connect(options?: {
    extensions?: boolean;
    agent?: string;
  }): Promise<{ client: TestClient; connection: RpcConnection }>;
}

export const INFO = { id: "sbx_loc_00000000000000000000", name: null } as unknown as SandboxInfo;

/** A server over a scripted agent; everything is closed with the test. */
export async function openBench(t: TestContext, script: Script = {}): Promise<Bench> {
  const { link, agent } = await openScriptedLink(script);
  return { agent, ...(await serveLink(t, link)) };
}

/** A server over any link. */
export async function serveLink(
  t: TestContext,
  link: AgentLink,
  options: Partial<GuestStateOptions> = {},
): Promise<Omit<Bench, "agent">> {
  const state = createGuestState({
    link,
    user: "app",
    home: "/home/app",
    env: { PATH: "/usr/bin:/bin", HOME: "/home/app" },
    info: () => INFO,
    ...options,
  });
  const http = createServer();
  const server = new WebSocketServer({ server: http, maxPayload: 128 * 1024 * 1024, perMessageDeflate: false });
  const accepted: RpcConnection[] = [];
  let wake: () => void = () => undefined;
  server.on("connection", (socket, request) => {
    const extensions = request.headers["x-sbx-extensions"] === "1";
    accepted.push(
      serveConnection(socket, state, {
        extensions,
        dialect: dialectOf(request.headers["user-agent"]),
        transport: request.socket,
      }),
    );
    wake();
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  const clients: TestClient[] = [];
  t.after(async () => {
    for (const { socket } of clients) socket.terminate();
    await link[Symbol.asyncDispose]();
    server.close();
    http.close();
    http.closeAllConnections();
  });
  return {
    link,
    state,
    async connect({ extensions = false, agent = "" } = {}) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}`, {
        headers: {
          ...(extensions ? { "x-sbx-extensions": "1" } : {}),
          ...(agent === "" ? {} : { "user-agent": agent }),
        },
      });
      const client = new TestClient(socket);
      clients.push(client);
      const serverSide = new Promise<void>((resolve) => (wake = resolve));
      await once(socket, "open");
      if (accepted.length < clients.length) await serverSide;
      const connection = accepted.at(-1);
      assert.ok(connection);
      return { client, connection };
    },
  };
}

function parse(text: string): Message {
  try {
    return JSON.parse(text) as Message;
  } catch {
    return { text };
  }
}
