/** A control plane with an HTTP gateway, over runtimes in memory whose sandboxes have real servers behind them. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { request } from "node:https";
import { connect as connectTcp, type AddressInfo, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { parseServerConfig } from "../../../src/server/config.ts";
import type { PublicGatewaySettings } from "../../../src/server/gateway/public-gateway.ts";
import { openServerLog } from "../../../src/server/server-log.ts";
import { openServer, type ControlServer, type GatewayFacts } from "../../../src/server/serve.ts";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../../src/server/tokens/token-store.ts";
import { sandboxInfo, type FakeRuntime } from "../../fake-runtime.ts";
import { FakeOrganisations } from "../server/harness.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

export const ID = sandboxInfo().id;

export interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

export interface AskOptions {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  /** Name in the TLS handshake; that of the domain if absent, none if empty. */
  servername?: string;
}

export interface GatewayBench {
  server: ControlServer;
  gateway: GatewayFacts;
  directory: string;
  organisations: FakeOrganisations;
  runtime: FakeRuntime;
  token: string;
  /** A REST call with the token of `local`. */
  call: (path: string, body?: object, token?: string) => Promise<{ status: number; body: Record<string, unknown> }>;
  /** A name for the sandbox, bound to a port. */
  expose: (port?: number) => Promise<string>;
  /** Has a server listen behind the sandbox's ports. */
  serve: (listener: RequestListener) => Promise<void>;
  /** Has raw connections served. */
  serveRaw: (onConnection: (socket: Socket) => void) => Promise<void>;
  /** A request to a domain; TLS is checked against the gateway's authority. */
  ask: (domain: string, options?: AskOptions) => Promise<Answer>;
  /** A connection whose handshake is over. */
  connect: (servername: string) => Promise<TLSSocket>;
  log: () => string;
}

export async function openGatewayBench(
  t: TestContext,
  settings: Partial<PublicGatewaySettings> & { organisations?: FakeOrganisations } = {},
): Promise<GatewayBench> {
  const { organisations = new FakeOrganisations(), ...more } = settings;
  const directory = settings.directory ?? temporaryDirectory(t);
  const tokens = TokenStore.open(directory);
  const [stream, chunks] = [new PassThrough(), [] as Buffer[]];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const server = await openServer({
    ...{ runtimes: organisations, tokens, log: openServerLog(stream, () => Date.now()), now: () => Date.now() },
    ...{ config: parseServerConfig("{}", "test.json"), environment: {}, version: "1.2.3" },
    listen: { host: "127.0.0.1", port: 0 },
    gateway: {
      ...{ directory, listen: { host: "127.0.0.1", port: 0 }, orFreePort: false, domain: "localhost" },
      ...{ tls: "own" as const, publicPort: null, ...more },
    },
  });
  t.after(async () => {
    await server[Symbol.asyncDispose]();
    tokens[Symbol.dispose]();
  });
  const { gateway } = server;
  if (gateway === undefined) throw new Error("no gateway");
  const runtime = organisations.of("local");
  if (runtime.sandboxes.length === 0) runtime.sandboxes = [sandboxInfo()];
  const life = { createdAt: Date.now(), expiresAt: null };
  const { token } = tokens.create({
    ...{ name: null, kind: "organisation", organisations: ["local"], scopes: [...SCOPES], ...life },
  });
  const call: GatewayBench["call"] = async (path, body = {}, given = token) => {
    const response = await fetch(`${server.url}${path}`, {
      ...{ method: "POST", body: JSON.stringify(body), headers: { authorization: `Bearer ${given}` } },
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const serveRaw: GatewayBench["serveRaw"] = async (onConnection) => {
    const backend = createServer();
    backend.removeAllListeners("connection");
    backend.on("connection", (socket: Socket) => {
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    await listen(t, backend, runtime);
  };
  const ca = gateway.certificatePath === null ? undefined : readFileSync(gateway.certificatePath);
  return {
    ...{ server, gateway, directory, organisations, runtime, token, call, serveRaw },
    expose: async (port = 3000) => String((await call(`/api/v3/sandbox/${ID}/expose/http`, { port })).body["domain"]),
    serve: async (listener) => listen(t, createServer(listener), runtime),
    ask: async (domain, options) => ask(domain, gateway.port, ca, options),
    connect: async (servername) => {
      const socket = connectTls({ port: gateway.port, host: "127.0.0.1", servername, ...(ca && { ca }) });
      t.after(() => socket.destroy());
      await once(socket, "secureConnect");
      return socket;
    },
    log: () => Buffer.concat(chunks).toString(),
  };
}

async function listen(t: TestContext, backend: ReturnType<typeof createServer>, runtime: FakeRuntime): Promise<void> {
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
  t.after(() => {
    backend.closeAllConnections();
    backend.close();
  });
  const { port } = backend.address() as AddressInfo;
  runtime.domains.connect = async (_ref, _target, first) => {
    const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    if (first !== undefined) socket.write(first);
    return socket;
  };
}

async function ask(domain: string, port: number, ca: Buffer | undefined, options: AskOptions = {}): Promise<Answer> {
  const { path = "/", method = "GET", headers = {}, body, servername = domain.replace(/:\d+$/, "") } = options;
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        servername,
        ...(servername === "" ? { checkServerIdentity: () => undefined } : {}),
        ...(ca && { ca }),
        headers: { host: domain, ...headers },
        agent: false,
      },
      (response) => {
        text(response).then(
          (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, text: body }),
          reject,
        );
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}
