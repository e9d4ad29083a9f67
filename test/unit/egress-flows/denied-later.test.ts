/** Connections that are read, with the real interceptor between, when the policy changes while they are open. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, createServer, type IncomingMessage, request } from "node:http";
import { createServer as createHttpsServer, request as requestTls } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { WebSocket, WebSocketServer } from "ws";
import { createInterceptor } from "../../../src/egress/http/interceptor.ts";
import { createSecrets } from "../../../src/egress/secrets/create-secrets.ts";
import { createAuthority } from "../../../src/egress/tls/authority.ts";
import type { LiveUpstream } from "../../../src/egress/upstream/upstream.ts";
import { ALLOW, DENY, makeAuthority, makeServerIdentity, upstreamWith } from "../egress-upstream/servers.ts";
import { type Guest, startGuest } from "./guest-side.ts";

const A = "198.18.0.1";
const HOST = "a.example";

interface World {
  guest: Guest;
  upstream: LiveUpstream;
  /** The server's side of the connections that reached it. */
  sockets: Socket[];
  port: number;
  /** A connection of the guest to the server, with TLS where that is what is tried. */
  dial: () => Socket;
  ask: (options: object) => ClientRequest;
}

async function startWorld(t: TestContext, scheme: "http" | "https"): Promise<World> {
  const [guestAuthority, servers] = [createAuthority(), makeAuthority()];
  // It needs the upstream and the interceptor, and they ask it.
  const made: { guest?: Guest } = {};
  const upstream = upstreamWith({
    extraRootsPem: [servers.pem],
    decideAddress: (target, address) => made.guest?.decideAddress(target, address) ?? ALLOW,
  });
  const interceptor = createInterceptor({
    secureContext: (host) => guestAuthority.contextFor(host),
    decide: async (target) => made.guest?.decide(target) ?? ALLOW,
    secrets: createSecrets({ grants: [], onLeak: "block", report: () => undefined }),
    hooks: null,
    onLeak: "block",
    upstream,
    audit: () => undefined,
    sandboxRef: "box",
  });
  const guest = await startGuest(t, { upstream, interceptor });
  made.guest = guest;
  guest.mustRead = () => true;
  const answer = (
    incoming: IncomingMessage,
    response: { write: (text: string) => void; end: (text: string) => void },
  ) => {
    incoming.resume();
    if (incoming.url === "/events") response.write("data: 1\n\n");
    else if (incoming.method === "GET") response.end("hello");
  };
  const server =
    scheme === "http" ? createServer(answer) : createHttpsServer(makeServerIdentity(servers, HOST), answer);
  new WebSocketServer({ server }).on("connection", (socket) => socket.send("hello"));
  const sockets: Socket[] = [];
  server.on("connection", (socket: Socket) => sockets.push(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    interceptor.close();
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const dial = () => {
    const socket = guest.dial(A, port);
    if (scheme === "http") return socket;
    const secure = connectTls({ socket, servername: HOST, ca: guestAuthority.certificatePem });
    return secure.on("error", () => undefined);
  };
  const ask = (options: object) => {
    const send = scheme === "http" ? request : requestTls;
    const asked = send({ host: HOST, port, createConnection: dial, ...options });
    return asked.on("error", () => undefined);
  };
  return { guest, upstream, sockets, port, dial, ask };
}

const CHANGES = {
  host: ({ guest }: World) => (guest.decide = () => DENY),
  address: ({ guest }: World) => (guest.decideAddress = (_, address) => (address === "127.0.0.1" ? DENY : ALLOW)),
};

/** As {@link Egress.changeRules} does. */
function change(world: World, what: keyof typeof CHANGES): void {
  CHANGES[what](world);
  world.guest.router.reconsider();
  world.upstream.reconsider((target) => world.guest.decide(target));
}

async function untilClosed(socket: Socket | undefined): Promise<void> {
  assert.ok(socket !== undefined);
  // By hand: however it ends, with an error or without, it ends.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

for (const scheme of ["http", "https"] as const) {
  for (const what of ["host", "address"] as const) {
    const title = `when the ${what} is denied (${scheme})`;

    test(`a WebSocket ends ${title}`, async (t) => {
      const world = await startWorld(t, scheme);
      const client = new WebSocket(`ws://${HOST}:${world.port}/`, { createConnection: world.dial });
      client.on("error", () => undefined);
      const over = once(client, "close");
      await once(client, "message");
      change(world, what);
      await untilClosed(world.sockets[0]);
      await over;
    });

    test(`a response that streams ends ${title}, and not as if it were whole`, async (t) => {
      const world = await startWorld(t, scheme);
      const asked = world.ask({ path: "/events" }).end();
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      const [event] = (await once(response, "data")) as [Buffer];
      assert.equal(String(event), "data: 1\n\n");
      const failed = new Promise((resolve) => response.once("error", resolve));
      change(world, what);
      await untilClosed(world.sockets[0]);
      await failed;
      assert.equal(response.complete, false);
    });

    test(`an upload ends ${title}`, async (t) => {
      const world = await startWorld(t, scheme);
      const asked = world.ask({ method: "POST", path: "/upload" });
      asked.write("some of it");
      while (world.sockets[0] === undefined || world.sockets[0].bytesRead < 100)
        await new Promise((resolve) => setTimeout(resolve, 5));
      change(world, what);
      await untilClosed(world.sockets[0]);
    });

    test(`a connection that is kept for the next request ends ${title}`, async (t) => {
      const world = await startWorld(t, scheme);
      const asked = world.ask({ path: "/", headers: { connection: "keep-alive" } }).end();
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      await once(response.resume(), "end");
      assert.equal(world.sockets[0]?.destroyed, false);
      change(world, what);
      await untilClosed(world.sockets[0]);
    });
  }
}
