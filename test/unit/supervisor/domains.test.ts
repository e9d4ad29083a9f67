/** Names of a gateway at the supervisor's door: who may bind them, and what is carried to a server of the guest. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import path from "node:path";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { MAX_DOMAINS } from "../../../src/protocol/domain-calls.ts";
import { LocalDomains } from "../../../src/runtime/local/local-domains.ts";
import type { SandboxRow } from "../../../src/store/sandbox-store.ts";
import { answerCall } from "../../../src/supervisor/door-http.ts";
import { DOMAIN_CALLS, type DomainControl } from "../../../src/supervisor/expose/domain-routes.ts";
import { Domains } from "../../../src/supervisor/expose/domains.ts";
import { HttpDoor } from "../../../src/supervisor/expose/http-door.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const REFUSED = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
const NAME = "k3vq7n2mxa5tzr4c6dyhj2.localhost:8443";

interface Bench {
  api: LocalDomains;
  domains: Domains;
  /** Serves a port of the guest. */
  serve: (port: number, handle: (socket: Socket) => void) => Promise<void>;
  /** Ports by process. */
  processes: Map<number, number>;
  setPaused: (isPaused: boolean) => void;
}

async function open(t: TestContext): Promise<Bench> {
  const servers = new Map<number, number>();
  const processes = new Map<number, number>();
  let isPaused = false;
  const domains = new Domains({
    ref: "web",
    ports: {
      async dial(port, first) {
        const there = servers.get(port);
        if (there === undefined) throw REFUSED;
        const socket = connect({ port: there, host: "127.0.0.1", allowHalfOpen: true });
        await once(socket, "connect");
        if (first !== undefined) socket.write(first);
        return socket;
      },
    },
    async portOf(pid) {
      const port = processes.get(pid);
      if (port === undefined) throw REFUSED;
      return port;
    },
  });
  const http = new HttpDoor({ domains: async () => domains, isPaused: () => isPaused });
  const socketPath = path.join(temporaryDirectory(t), "door.sock");
  const door = createHttpServer((request, response) => {
    void answerCall(request, response, request.url ?? "", DOMAIN_CALLS, (): DomainControl => domains);
  });
  door.on("upgrade", (request, socket: Duplex, head: Buffer) => {
    socket.on("error", () => undefined);
    assert.ok(http.upgrade(request, socket, head));
  });
  door.listen(socketPath);
  await once(door, "listening");
  t.after(() => {
    http.close();
    door.close();
  });
  return {
    ...{ domains, processes, api: new LocalDomains(() => ({ socket: socketPath }) as SandboxRow) },
    setPaused: (value) => (isPaused = value),
    async serve(port, handle) {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => undefined);
        handle(socket);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      servers.set(port, (server.address() as AddressInfo).port);
      t.after(() => server.close());
    },
  };
}

test("a name that was not announced is bound to nothing, and leads nowhere", async (t) => {
  const { api, domains } = await open(t);
  assert.equal(domains.bind("other.localhost", { port: 80 }), false);
  await assert.rejects(api.openHttp("web", "other.localhost"), { code: "exposure_not_found" });
  assert.deepEqual(await api.list("web"), []);
});

test("an announced name is bound once or again, by port or process, and listed", async (t) => {
  const { api, domains } = await open(t);
  assert.equal((await api.announce("web", NAME, null)).target, undefined);
  await assert.rejects(api.openHttp("web", NAME), { code: "nothing_listens" });
  assert.equal(domains.bind(NAME, { port: 3000 }), true);
  assert.deepEqual((await api.list("web"))[0]?.target, { guestPort: 3000 });
  // Announced again, as by a client that repeats its call, it keeps its server.
  assert.deepEqual((await api.announce("web", NAME, null)).target, { guestPort: 3000 });
  assert.deepEqual((await api.announce("web", NAME.toUpperCase(), { pid: 7 })).target, { pid: 7 });
  assert.equal((await api.list("web")).length, 1);
});

test("what is no host name is refused, and so is one name too many", async (t) => {
  const { api } = await open(t);
  for (const domain of ["", "a..b", "-a.b", "a b", "a/b", "a:b", "a:0", "a@b", `${"x".repeat(64)}.b`]) {
    await assert.rejects(api.announce("web", domain, null), { code: "usage" }, domain);
  }
  for (let count = 0; count < MAX_DOMAINS; count++) await api.announce("web", `n${count}.localhost`, null);
  await assert.rejects(api.announce("web", "one-more.localhost", null), { code: "usage" });
});

test("bytes pass both ways as they are, and each half ends by itself", async (t) => {
  const { api, serve } = await open(t);
  await serve(80, (socket) => {
    const chunks: Buffer[] = [Buffer.from("hello ")];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => socket.end(Buffer.concat(chunks)));
  });
  await api.announce("web", NAME, { guestPort: 80 });
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251));
  const tunnel = await api.openHttp("web", NAME, { first: bytes.subarray(0, 10) });
  tunnel.end(bytes.subarray(10));
  const answer = await buffer(tunnel);
  assert.ok(answer.equals(Buffer.concat([Buffer.from("hello "), bytes])));
});

test("a connection that breaks is no orderly end", async (t) => {
  const { api, serve } = await open(t);
  await serve(80, (socket) => {
    socket.write("half an answer", () => setTimeout(() => socket.resetAndDestroy(), 20));
  });
  await api.announce("web", NAME, { guestPort: 80 });
  const tunnel = await api.openHttp("web", NAME);
  await assert.rejects(text(tunnel), { code: "ECONNRESET" });
});

test("a reader that does not read stops the server", async (t) => {
  const { api, serve } = await open(t);
  let written = 0;
  await serve(80, (socket) => {
    const block = Buffer.alloc(1024 * 1024);
    const more = (): void => {
      while (written < 256 && socket.write(block)) written++;
      if (written++ < 256) socket.once("drain", more);
    };
    more();
  });
  await api.announce("web", NAME, { guestPort: 80 });
  const tunnel = await api.openHttp("web", NAME);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(written < 64, `${written} MiB went nowhere`);
  tunnel.destroy();
});

test("the server of a process is asked for with each connection", async (t) => {
  const { api, serve, processes } = await open(t);
  await serve(81, (socket) => socket.end("first"));
  await serve(82, (socket) => socket.end("second"));
  await api.announce("web", NAME, { pid: 7 });
  await assert.rejects(api.openHttp("web", NAME), { code: "nothing_listens" });
  processes.set(7, 81);
  assert.equal(await text(await api.openHttp("web", NAME)), "first");
  processes.set(7, 82);
  assert.equal(await text(await api.openHttp("web", NAME)), "second");
});

test("who uses a name that is taken away is cut off", async (t) => {
  const { api, serve } = await open(t);
  await serve(80, (socket) => socket.write("x"));
  await api.announce("web", NAME, { guestPort: 80 });
  const tunnel = await api.openHttp("web", NAME);
  const reading = text(tunnel);
  await api.withdraw("web", NAME);
  await assert.rejects(reading, { code: "ECONNRESET" });
  await assert.rejects(api.openHttp("web", NAME), { code: "exposure_not_found" });
  await assert.rejects(api.withdraw("web", NAME), { code: "exposure_not_found" });
});

test("a sandbox that stands still is not dialled", async (t) => {
  const { api, serve, setPaused } = await open(t);
  await serve(80, (socket) => socket.end("x"));
  await api.announce("web", NAME, { guestPort: 80 });
  setPaused(true);
  await assert.rejects(api.openHttp("web", NAME), { code: "sandbox_paused" });
  setPaused(false);
  assert.equal(await text(await api.openHttp("web", NAME)), "x");
});

test("a sandbox has a bounded number of connections", async (t) => {
  const { api, serve } = await open(t);
  await serve(80, (socket) => socket.write("x"));
  await api.announce("web", NAME, { guestPort: 80 });
  const open256 = await Promise.all(Array.from({ length: 256 }, async () => api.openHttp("web", NAME)));
  await assert.rejects(api.openHttp("web", NAME), { code: "insufficient_resources" });
  const [first, ...others] = open256;
  first?.destroy();
  let again: Duplex | undefined;
  while (again === undefined) again = await api.openHttp("web", NAME).catch(() => undefined);
  for (const tunnel of [again, ...others]) tunnel.destroy();
});
