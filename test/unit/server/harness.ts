/** A control plane with runtimes in memory, one for each organisation. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { PassThrough } from "node:stream";
import type { TestContext } from "node:test";
import { DEFAULT_SETTINGS } from "../../../src/runtime/defaults.ts";
import type { OrganisationRuntimes } from "../../../src/runtime/organisations.ts";
import { defaultServerConfig, parseServerConfig } from "../../../src/server/config.ts";
import type { HttpServer } from "../../../src/server/http/server.ts";
import type { Timeouts } from "../../../src/server/http/limits.ts";
import { openServerLog } from "../../../src/server/server-log.ts";
import { openServer, type ServeOptions } from "../../../src/server/serve.ts";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { TokenStore, type TokenSpec } from "../../../src/server/tokens/token-store.ts";
import { FakeRuntime } from "../../fake-runtime.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

export class FakeOrganisations implements OrganisationRuntimes {
  readonly runtimes = new Map<string, FakeRuntime>();
  readonly opened: string[] = [];
  disposed = 0;

  of(name: string): FakeRuntime {
    const runtime = this.runtimes.get(name) ?? new FakeRuntime();
    this.runtimes.set(name, runtime);
    return runtime;
  }

  async open(name: string): Promise<FakeRuntime> {
    this.opened.push(name);
    return this.of(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed++;
  }
}

export interface ServerBench {
  url: string;
  server: HttpServer;
  /** That of the organisation `local`. */
  runtime: FakeRuntime;
  organisations: FakeOrganisations;
  tokens: TokenStore;
  /** Of `local`, with every scope. */
  token: string;
  /** A token of another kind. */
  makeToken: (spec?: Partial<TokenSpec>) => string;
  /** A call with the token of `local`, unless there is another one in `headers`. */
  call: (method: string, path: string, options?: CallOptions) => Promise<CallResult>;
  /** All that was logged. */
  log: () => string;
}

export interface CallOptions {
  body?: unknown;
  token?: string;
  headers?: Record<string, string>;
}

export interface CallResult {
  status: number;
  body: unknown;
  headers: Headers;
}

export interface BenchOptions {
  timeouts?: Partial<Timeouts>;
  /** With the gateways for HTTP and SSH. */
  withDoors?: boolean;
}

export async function openBench(
  t: TestContext,
  config?: object,
  { timeouts = {}, withDoors = false }: BenchOptions = {},
): Promise<ServerBench> {
  const directory = temporaryDirectory(t);
  const tokens = TokenStore.open(directory);
  const organisations = new FakeOrganisations();
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const server = await openServer({
    ...{ runtimes: organisations, tokens, log: openServerLog(stream, () => Date.now()), now: () => Date.now() },
    config: config === undefined ? defaultServerConfig() : parseServerConfig(JSON.stringify(config), "test.json"),
    ...{ environment: { HTTPS_PROXY: "http://proxy:8080", HOME: "/home/x" }, version: "1.2.3", timeouts },
    listen: { host: "127.0.0.1", port: 0 },
    ...(withDoors ? doorsIn(directory) : {}),
  });
  t.after(async () => {
    // A client that is there is waited for, and says no more.
    for (const socket of clients) socket.destroy();
    clients.clear();
    await server[Symbol.asyncDispose]();
    tokens[Symbol.dispose]();
  });
  const makeToken = (spec: Partial<TokenSpec> = {}): string =>
    tokens.create({
      ...{ name: null, kind: "organisation", organisations: ["local"], scopes: [...SCOPES] },
      ...{ createdAt: Date.now(), expiresAt: null },
      ...spec,
    }).token;
  const token = makeToken();
  return {
    ...{ url: server.url, server, organisations, tokens, token, makeToken },
    runtime: organisations.of("local"),
    call: async (method, path, options = {}) => call(server.url, method, path, { token, ...options }),
    log: () => Buffer.concat(chunks).toString(),
  };
}

function doorsIn(directory: string): Pick<ServeOptions, "gateway" | "ssh"> {
  const door = { directory, listen: { host: "127.0.0.1", port: 0 }, orFreePort: false, publicPort: null };
  return {
    gateway: { ...door, domain: "localhost", tls: "own" },
    ssh: { ...door, hostKeyPath: null, publicHost: null, refusalMs: 50 },
  };
}

async function call(url: string, method: string, path: string, options: CallOptions): Promise<CallResult> {
  const { token, headers = {}, body } = options;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  return { status: response.status, body: isJson ? (JSON.parse(text) as unknown) : text, headers: response.headers };
}

export function configHeader(config: object = {}): string {
  return Buffer.from(JSON.stringify({ memory_mb: DEFAULT_SETTINGS.memoryBytes / 1024 ** 2, ...config })).toString(
    "base64",
  );
}

/** Of `rawRequest`. */
const clients = new Set<Socket>();

/** Sends a request as it is, and collects the answer's head and what follows. */
export async function rawRequest(url: string, lines: string[], rest = ""): Promise<{ socket: Socket; head: string }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  clients.add(socket);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(`${lines.join("\r\n")}\r\n\r\n${rest}`);
  return { socket, head: await readHead(socket) };
}

/** Up to the empty line; what is behind it stays in the socket. */
export async function readHead(socket: Duplex): Promise<string> {
  let text = "";
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) {
      if (socket.readableEnded || socket.destroyed) return text;
      await Promise.race([once(socket, "readable"), once(socket, "close")]);
      continue;
    }
    text += chunk.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end === -1) continue;
    const behind = Buffer.from(text.slice(end + 4), "latin1");
    if (behind.length > 0) socket.unshift(behind);
    return text.slice(0, end);
  }
}

export function upgradeLines(path: string, token: string, more: string[] = []): string[] {
  return [
    `GET ${path} HTTP/1.1`,
    "Host: sbx.test",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    `Authorization: Bearer ${token}`,
    ...more,
  ];
}

/** Ids are checked by the SDK. */
export const SANDBOX_ID = "sbx_loc_00000000000000000001";
