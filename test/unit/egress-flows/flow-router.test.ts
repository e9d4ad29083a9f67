/** Which connections are opened at all, and what ends those that are open. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { ALLOW, DENY, serveTcp, upstreamWith } from "../egress-upstream/servers.ts";
import { collect, GATEWAY, startGuest, untilNoFlows } from "./guest-side.ts";

const A = "198.18.0.1";
const B = "198.18.0.2";

function hold(socket: Socket): void {
  socket.resume();
  socket.write("hello");
}

test("a denied connection is reset, and the audit log tells target, rule, reason and fix", async (t) => {
  const guest = await startGuest(t);
  const rule = { id: "r7", text: "deny a.example", source: { kind: "option" as const, option: "--deny-net" } };
  guest.decide = () => ({ ...DENY, rule });
  const socket = guest.dial(A, 8443);
  assert.equal((await collect(socket)).end, "reset");
  const { time, ms, ...event } = await guest.nextEvent();
  assert.ok(time > 0 && ms !== undefined);
  assert.deepEqual(event, {
    kind: "connection",
    verdict: "deny",
    flow: 1,
    host: "a.example",
    port: 8443,
    rule,
    reason: DENY.reason,
    fix: DENY.fix,
  });
  assert.equal(guest.router.openFlows, 0);
  assert.deepEqual(guest.released, [A]);
});

test("the policy is asked with the name that an address stands for, else with the address", async (t) => {
  const guest = await startGuest(t);
  const asked: string[] = [];
  guest.decide = ({ host, port }) => {
    asked.push(`${host} ${port}`);
    return DENY;
  };
  for (const [address, port] of [
    [A, 1],
    ["203.0.113.9", 2],
    ["2001:db8::1", 3],
    ["fd73:6278:0:1::3", 4],
  ] as const) {
    guest.dial(address, port);
    await guest.nextEvent();
  }
  assert.deepEqual(asked, ["a.example 1", "203.0.113.9 2", "2001:db8::1 3", "c.example 4"]);
});

for (const address of ["198.18.77.1", "fd73:6278:0:1::77"]) {
  test(`an address that could stand for a name and does not is refused, whatever the policy says (${address})`, async (t) => {
    const guest = await startGuest(t);
    guest.dial(address, 443);
    const event = await guest.nextEvent();
    assert.deepEqual(
      [event.verdict, event.reason],
      ["deny", "its address stands for no name: it was never looked up, or too long ago"],
    );
  });
}

test("the gateway answers DNS over TCP and nothing else, and the policy is not asked", async (t) => {
  const guest = await startGuest(t);
  guest.decide = () => assert.fail("asked");
  const socket = guest.dial(GATEWAY, 53);
  while (guest.resolver.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(guest.router.openFlows, 1);
  guest.resolver[0]?.end("answer");
  guest.resolver[0]?.resume();
  socket.end();
  assert.equal((await collect(socket)).text, "answer");
  await untilNoFlows(guest);
  for (const port of [22, 80, 443, 853]) {
    guest.dial(GATEWAY, port);
    assert.equal((await guest.nextEvent()).reason, "the gateway answers DNS and nothing else");
  }
});

test("connections over the limit are refused until one has ended", async (t) => {
  const guest = await startGuest(t, { limits: { maxFlows: 2 } });
  const port = await serveTcp(t, hold);
  const sockets = [guest.dial(A, port), guest.dial(B, port)];
  for (const socket of sockets) await once(socket, "data");
  guest.dial(A, port);
  assert.equal((await guest.nextEvent()).reason, "2 connections are open already");
  sockets[0]?.resetAndDestroy();
  await guest.nextEvent();
  const [greeting] = (await once(guest.dial(A, port), "data")) as [Buffer];
  assert.equal(String(greeting), "hello");
});

test("connections that are handed over count until they end", async (t) => {
  const guest = await startGuest(t, { limits: { maxFlows: 1 } });
  guest.mustRead = () => true;
  guest.dial(A, 80).write("GET / HTTP/1.1\r\n");
  const { stream } = await guest.nextIntercepted();
  guest.dial(A, 80);
  assert.equal((await guest.nextEvent()).reason, "1 connections are open already");
  stream.destroy();
  await untilNoFlows(guest);
});

test("only so many upstreams are dialled at once", async (t) => {
  const guest = await startGuest(t, {
    limits: { maxDials: 1 },
    upstream: upstreamWith({ lookup: () => new Promise(() => undefined) }),
  });
  guest.dial(A, 443);
  while (guest.router.openFlows === 0) await new Promise((resolve) => setImmediate(resolve));
  guest.dial(B, 443);
  assert.equal((await guest.nextEvent()).reason, "1 connections are being opened already");
});

test("a connection that the policy denies from now on is cut, others go on", async (t) => {
  const guest = await startGuest(t);
  const port = await serveTcp(t, hold);
  const [a, b] = [guest.dial(A, port), guest.dial(B, port)];
  await Promise.all([once(a, "data"), once(b, "data")]);
  guest.decide = ({ host }) => (host === "a.example" ? DENY : ALLOW);
  guest.router.reconsider();
  assert.equal((await collect(a)).end, "reset");
  const event = await guest.nextEvent();
  assert.deepEqual(
    [event.host, event.verdict, event.reason, event.receivedBytes],
    ["a.example", "deny", DENY.reason, 5],
  );
  assert.equal(guest.router.openFlows, 1);
  assert.equal(b.destroyed, false);
});

test("a tunnel is cut when its address is denied, unless the user chose the address", async (t) => {
  const port = await serveTcp(t, hold);
  const pinned = { host: "b.example", port, address: "127.0.0.1" };
  const guest = await startGuest(t, { upstream: upstreamWith({ overrides: [pinned] }) });
  const [a, b] = [guest.dial(A, port), guest.dial(B, port)];
  await Promise.all([once(a, "data"), once(b, "data")]);
  guest.decideAddress = (_, address) => (address === "127.0.0.1" ? DENY : ALLOW);
  guest.router.reconsider();
  assert.equal((await collect(a)).end, "reset");
  const event = await guest.nextEvent();
  assert.deepEqual(
    [event.host, event.verdict, event.reason, event.address],
    ["a.example", "deny", DENY.reason, "127.0.0.1"],
  );
  assert.equal(guest.router.openFlows, 1);
  assert.equal(b.destroyed, false);
});

test("a connection whose requests are read is cut when its host is denied, and others are not", async (t) => {
  const guest = await startGuest(t);
  guest.mustRead = () => true;
  const [a, b] = [guest.dial(A, 80), guest.dial(B, 80)];
  for (const socket of [a, b]) socket.write("GET / HTTP/1.1\r\n");
  const streams = [await guest.nextIntercepted(), await guest.nextIntercepted()];
  for (const { stream } of streams) stream.resume();
  guest.decide = ({ host }) => (host === "a.example" ? DENY : ALLOW);
  guest.router.reconsider();
  assert.equal((await collect(a)).end, "reset");
  const event = await guest.nextEvent();
  assert.deepEqual([event.host, event.verdict, event.reason], ["a.example", "deny", DENY.reason]);
  guest.router.reconsider();
  assert.equal(b.destroyed, false);
  assert.equal(guest.router.openFlows, 1);
  assert.equal(guest.events.length, 1);
});

test("a tunnel to a host that has to be read from now on is cut", async (t) => {
  const guest = await startGuest(t);
  const socket = guest.dial(A, await serveTcp(t, hold));
  await once(socket, "data");
  guest.mustRead = () => true;
  guest.router.reconsider();
  assert.equal((await collect(socket)).end, "reset");
  assert.match((await guest.nextEvent()).reason ?? "", /^connections to this host have to be read from now on/);
});

test("a change of the policy while an upstream is dialled counts", async (t) => {
  const answer = Promise.withResolvers<string[]>();
  let connections = 0;
  const port = await serveTcp(t, () => connections++);
  const guest = await startGuest(t, { upstream: upstreamWith({ lookup: () => answer.promise }) });
  const socket = guest.dial(A, port);
  while (guest.router.openFlows === 0) await new Promise((resolve) => setImmediate(resolve));
  guest.decide = () => DENY;
  guest.router.reconsider();
  answer.resolve(["127.0.0.1"]);
  assert.equal((await collect(socket)).end, "reset");
  assert.equal((await guest.nextEvent()).verdict, "deny");
  await untilNoFlows(guest);
  assert.equal(connections, 0);
});

test("the end of the sandbox ends every connection, and none is opened after it", async (t) => {
  const guest = await startGuest(t);
  const port = await serveTcp(t, hold);
  const socket = guest.dial(A, port);
  await once(socket, "data");
  guest.router[Symbol.dispose]();
  assert.equal((await collect(socket)).end, "reset");
  assert.equal((await guest.nextEvent()).error, "the sandbox ended");
  guest.dial(A, port);
  assert.equal((await guest.nextEvent()).reason, "the sandbox is ending");
  assert.equal(guest.router.openFlows, 0);
});

test("a fault in what the router asks refuses that connection and no other", async (t) => {
  const guest = await startGuest(t);
  guest.decide = () => {
    throw new Error("broken");
  };
  const socket = guest.dial(A, 443);
  assert.equal((await collect(socket)).end, "reset");
  assert.equal((await guest.nextEvent()).reason, "it could not be served: Error: broken");
  guest.decide = () => ALLOW;
  const [greeting] = (await once(guest.dial(A, await serveTcp(t, hold)), "data")) as [Buffer];
  assert.equal(String(greeting), "hello");
});

test("a thousand connections come and go and leave nothing behind", async (t) => {
  const guest = await startGuest(t);
  const port = await serveTcp(t, (socket) => socket.pipe(socket));
  for (let round = 0; round < 10; round++) {
    const sockets = Array.from({ length: 100 }, (_, at) => {
      const socket = guest.dial(at % 2 === 0 ? A : B, port);
      socket.end("\0hello");
      return collect(socket);
    });
    for (const { text } of await Promise.all(sockets)) assert.equal(text, "\0hello");
  }
  await untilNoFlows(guest);
  assert.equal(guest.events.length, 1000);
  assert.equal(guest.released.length, 1000);
});
