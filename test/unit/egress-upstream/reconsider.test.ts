/** What a changed policy does to connections that are open, and what can be said of a target without dialling it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { Decision } from "../../../src/policy/spec.ts";
import {
  ALLOW,
  DENY,
  failureOf,
  makeAuthority,
  makeServerIdentity,
  NEVER,
  serveTcp,
  serveTls,
  upstreamWith,
} from "./servers.ts";

function hold(socket: Socket): void {
  socket.resume();
}

async function untilClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, "close");
}

test("connections to a denied host are ended, with TLS and without, and others stay", async (t) => {
  const authority = makeAuthority();
  const upstream = upstreamWith({ extraRootsPem: [authority.pem] });
  const port = await serveTcp(t, hold);
  const tlsPort = await serveTls(t, makeServerIdentity(authority, "a.example"), hold);
  const a = await upstream.connect({ host: "a.example", port }, NEVER);
  const secure = await upstream.connectTls({ host: "a.example", port: tlsPort }, { alpnProtocols: [], signal: NEVER });
  const b = await upstream.connect({ host: "b.example", port }, NEVER);
  upstream.reconsider(({ host }) => (host === "a.example" ? DENY : ALLOW));
  await Promise.all([untilClosed(a.socket), untilClosed(secure.socket)]);
  assert.equal(b.socket.destroyed, false);
  b.socket.destroy();
});

test("connections to a denied address are ended, unless the user chose it", async (t) => {
  const port = await serveTcp(t, hold);
  let decision: Decision = ALLOW;
  const upstream = upstreamWith({
    decideAddress: () => decision,
    overrides: [{ host: "pinned.example", port, address: "127.0.0.1" }],
  });
  const a = await upstream.connect({ host: "a.example", port }, NEVER);
  const pinned = await upstream.connect({ host: "pinned.example", port }, NEVER);
  upstream.reconsider(() => ALLOW);
  assert.equal(a.socket.destroyed, false);
  decision = DENY;
  upstream.reconsider(() => ALLOW);
  await untilClosed(a.socket);
  assert.equal(pinned.socket.destroyed, false);
  pinned.socket.destroy();
});

test("an address that is denied while it is dialled is not connected to", async (t) => {
  const decisions = [ALLOW, DENY];
  const closed = Promise.withResolvers<void>();
  const port = await serveTcp(t, (socket) => void socket.resume().once("close", closed.resolve).end());
  const upstream = upstreamWith({ decideAddress: () => decisions.shift() ?? assert.fail("asked again") });
  const error = await failureOf(upstream.connect({ host: "a.example", port }, NEVER));
  assert.deepEqual([error.code, error.decision], ["address_denied", DENY]);
  await closed.promise;
});

test("a check finds what a connection would, and dials nothing", async (t) => {
  let dialled = 0;
  const port = await serveTcp(t, () => dialled++);
  const lookup = async (name: string) => (name === "nowhere.example" ? [] : ["127.0.0.1"]);
  const check = (host: string, decision: Decision, more = {}) =>
    upstreamWith({ lookup, decideAddress: () => decision, ...more }).check({ host, port }, NEVER);
  await check("a.example", ALLOW);
  assert.equal((await failureOf(check("a.example", DENY))).decision, DENY);
  assert.equal((await failureOf(check("127.0.0.1", DENY))).decision, DENY);
  assert.equal((await failureOf(check("host.sbx.internal", DENY))).decision, DENY);
  const unresolved = await failureOf(check("nowhere.example", ALLOW));
  assert.deepEqual([unresolved.message, unresolved.decision], ["nowhere.example has no address", undefined]);
  await check("a.example", DENY, { overrides: [{ host: "a.example", port, address: "127.0.0.1" }] });
  const proxy = { http: "http://127.0.0.1:1", https: "http://127.0.0.1:1", noProxy: [] };
  await check("nowhere.example", DENY, { proxy });
  assert.equal(dialled, 0);
});
