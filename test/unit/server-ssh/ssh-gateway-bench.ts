/** A control plane with an SSH gateway, over runtimes in memory whose sandboxes have fake guests behind real SSH services. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import type { TestContext } from "node:test";
import { Client, type ConnectConfig } from "ssh2";
import { makeOpensshKey } from "../../../src/host/openssh-key.ts";
import { parseServerConfig } from "../../../src/server/config.ts";
import { openServerLog } from "../../../src/server/server-log.ts";
import { openServer, type ControlServer, type SshFacts } from "../../../src/server/serve.ts";
import type { SshGatewaySettings } from "../../../src/server/ssh/gateway.ts";
import type { SshLogin } from "../../../src/server/ssh/ssh-door.ts";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../../src/server/tokens/token-store.ts";
import { SshServer } from "../../../src/ssh/server.ts";
import { sandboxInfo, type FakeRuntime } from "../../fake-runtime.ts";
import { FakeOrganisations } from "../server/harness.ts";
import { APP, FakeGuest } from "../ssh/ssh-bench.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

export const ID = sandboxInfo().id;

export interface GatewayBench {
  server: ControlServer;
  ssh: SshFacts;
  runtime: FakeRuntime;
  organisations: FakeOrganisations;
  guest: FakeGuest;
  /** The sandbox's own end. */
  services: SshServer;
  tokens: TokenStore;
  token: string;
  directory: string;
  /** Asks for a user name. */
  expose: (options?: { id?: string; token?: string; method?: string }) => Promise<{ status: number; body: unknown }>;
  login: () => Promise<SshLogin>;
  /** A raw connection. */
  dial: () => Promise<Socket>;
  client: (config: ConnectConfig) => Promise<Client>;
  log: () => string;
}

export interface GatewayBenchOptions extends Partial<SshGatewaySettings> {
  /** Of records that another server has written. */
  organisations?: FakeOrganisations;
  config?: object;
}

export async function openGateway(t: TestContext, options: GatewayBenchOptions = {}): Promise<GatewayBench> {
  const { organisations = new FakeOrganisations(), config = {}, ...more } = options;
  const directory = options.directory ?? temporaryDirectory(t);
  const tokens = TokenStore.open(directory);
  const [stream, chunks] = [new PassThrough(), [] as Buffer[]];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const server = await openServer({
    ...{ runtimes: organisations, tokens, log: openServerLog(stream, () => Date.now()), now: () => Date.now() },
    ...{ config: parseServerConfig(JSON.stringify(config), "test.json"), environment: {}, version: "1.2.3" },
    listen: { host: "127.0.0.1", port: 0 },
    ssh: {
      ...{ directory, listen: { host: "127.0.0.1", port: 0 }, orFreePort: false, hostKeyPath: null },
      ...{ publicHost: null, publicPort: null, refusalMs: 50, ...more },
    },
  });
  t.after(async () => {
    await server[Symbol.asyncDispose]();
    tokens[Symbol.dispose]();
  });
  const ssh = server.ssh;
  if (ssh === undefined) throw new Error("no SSH");
  const runtime = organisations.of("local");
  runtime.sandboxes = [sandboxInfo()];
  const guest = new FakeGuest();
  const services = new SshServer({ guest, hostKey: makeOpensshKey("sandbox").privateKey });
  runtime.ssh.serve = (socket) => services.acceptKnown(socket, APP);
  const life = { createdAt: Date.now(), expiresAt: null };
  const scopes = [...SCOPES];
  const { token } = tokens.create({ name: null, kind: "organisation", organisations: ["local"], scopes, ...life });
  const expose: GatewayBench["expose"] = async ({ id = ID, token: given = token, method = "POST" } = {}) => {
    const response = await fetch(`${server.url}/api/v3/sandbox/${id}/expose/ssh`, {
      ...{ method, headers: { authorization: `Bearer ${given}` } },
      ...(method === "POST" ? { body: "{}" } : {}),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : (JSON.parse(text) as unknown) };
  };
  const dial = async (): Promise<Socket> => {
    const socket = connect(ssh.port, "127.0.0.1");
    socket.on("error", () => undefined);
    t.after(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return {
    ...{ server, ssh, runtime, organisations, guest, services, tokens, token, directory, expose, dial },
    login: async () => (await expose()).body as SshLogin,
    client: async (given) => openClient(t, { sock: await dial(), strictVendor: false, ...given }),
    log: () => Buffer.concat(chunks).toString(),
  };
}

async function openClient(t: TestContext, config: ConnectConfig): Promise<Client> {
  const client = new Client();
  t.after(() => client.destroy());
  const ready = Promise.withResolvers<undefined>();
  client.once("ready", () => ready.resolve(undefined));
  client.on("error", (error) => ready.reject(error));
  client.once("close", () => ready.reject(new Error("closed")));
  client.connect(config);
  await ready.promise;
  return client;
}
