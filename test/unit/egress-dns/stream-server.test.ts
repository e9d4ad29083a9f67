/** DNS over TCP: several queries on a connection, in any pieces, and an end to every connection. */
import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { type Duplex, duplexPair } from "node:stream";
import { describe, test } from "node:test";
import { Resolver } from "../../../src/egress/dns/resolver.ts";
import { serveDnsStream } from "../../../src/egress/dns/stream-server.ts";
import { SyntheticNames } from "../../../src/egress/dns/synthetic-names.ts";
import { Policy } from "../../../src/policy/policy.ts";
import { query, readReply, words } from "./dns-message.ts";

function openResolver(): Resolver {
  const policy = new Policy({ mode: "open", rules: [], expressions: [] });
  return new Resolver({
    decideName: (name) => policy.decideName(name),
    names: new SyntheticNames(),
    audit: () => undefined,
  });
}

const framed = (message: Buffer): Buffer => Buffer.concat([words(message.length), message]);

/** Reads framed messages until the other side ends. */
async function readAll(stream: Duplex): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  const messages: Buffer[] = [];
  for (let rest = Buffer.concat(chunks); rest.length > 0;) {
    const length = rest.readUInt16BE(0);
    messages.push(rest.subarray(2, 2 + length));
    rest = rest.subarray(2 + length);
  }
  return messages;
}

/** A query without an end of its own is served on a real socket, which can be half closed. */
async function withSocket(resolver: Resolver, use: (socket: Socket) => Promise<void>): Promise<void> {
  const served: Promise<void>[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    served.push(resolver.serve(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  try {
    await use(socket);
  } finally {
    socket.destroy();
    server.close();
    await once(server, "close");
    await Promise.all(served);
  }
}

describe("a connection", () => {
  test("answers several queries in order, although the client has ended", async () => {
    await withSocket(openResolver(), async (socket) => {
      const ids = [1, 2, 3, 4, 5];
      socket.end(Buffer.concat(ids.map((id) => framed(query(`h${id}.test`, { id })))));
      const replies = (await readAll(socket)).map(readReply);
      assert.deepEqual(
        replies.map(({ id }) => id),
        ids,
      );
      assert.deepEqual(
        replies.map(({ answers }) => answers[0]?.value),
        ids.map((id) => `198.18.0.${id}`),
      );
    });
  });

  test("takes queries byte by byte", async () => {
    const [guest, host] = duplexPair();
    const served = openResolver().serve(host);
    const answers = readAll(guest);
    for (const byte of Buffer.concat([framed(query("a.test", { id: 7 })), framed(query("b.test", { id: 8 }))])) {
      guest.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    guest.end();
    assert.deepEqual(
      (await answers).map((message) => readReply(message).id),
      [7, 8],
    );
    await served;
  });

  test("answers thousands of queries at once to a client that reads slowly, and holds few of them", async () => {
    const [guest, host] = duplexPair();
    const served = openResolver().serve(host);
    const count = 5000;
    let most = 0;
    guest.end(Buffer.concat(Array.from({ length: count }, (_, id) => framed(query("a.test", { id })))));
    const watch = setInterval(() => (most = Math.max(most, host.writableLength)), 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const replies = await readAll(guest);
    clearInterval(watch);
    assert.equal(replies.length, count);
    assert.ok(most <= 2 * host.writableHighWaterMark, `${most} bytes were waiting`);
    await served;
  });

  test("is closed without an answer where there is none to give", async () => {
    for (const bytes of [
      framed(Buffer.from("noise")),
      framed(query("a.test", { flags: 0x8000 })),
      words(4097),
      words(0),
    ]) {
      const [guest, host] = duplexPair();
      const served = openResolver().serve(host);
      guest.on("error", () => undefined);
      guest.write(bytes);
      await served;
      assert.ok(host.destroyed);
    }
  });

  test("that ends within a message is closed", async () => {
    const [guest, host] = duplexPair();
    const served = openResolver().serve(host);
    guest.resume().on("error", () => undefined);
    guest.end(framed(query("a.test")).subarray(0, 9));
    await served;
    assert.ok(host.destroyed);
  });

  test("on which nothing happens is destroyed", async () => {
    for (const bytes of [Buffer.alloc(0), words(100), framed(query("a.test"))]) {
      const [guest, host] = duplexPair();
      guest.resume().on("error", () => undefined);
      if (bytes.length > 0) guest.write(bytes);
      await serveDnsStream(host, () => Buffer.from("x"), { idleMs: 20 });
      assert.ok(host.destroyed);
    }
  });

  test("whose client never reads is destroyed", async () => {
    const [guest, host] = duplexPair();
    guest.on("error", () => undefined);
    guest.write(Buffer.concat(Array.from({ length: 3000 }, () => framed(query("a.test")))));
    await serveDnsStream(host, () => Buffer.alloc(60_000), { idleMs: 30 });
    assert.ok(host.destroyed);
    assert.ok(host.writableLength <= host.writableHighWaterMark + 60_002);
  });

  test("that is reset or already gone throws nothing", async () => {
    const [guest, host] = duplexPair();
    const served = openResolver().serve(host);
    guest.on("error", () => undefined);
    host.destroy(new Error("reset"));
    await served;
    await openResolver().serve(host);
  });
});

test("only so many connections are served at once, and disposing of the resolver ends them", async () => {
  const resolver = openResolver();
  const pairs = Array.from({ length: 65 }, () => duplexPair());
  const served = pairs.map(async ([guest, host]) => {
    guest.on("error", () => undefined);
    await resolver.serve(host);
  });
  await served[64];
  assert.deepEqual([pairs[64]?.[1].destroyed, pairs[63]?.[1].destroyed], [true, false]);
  resolver[Symbol.dispose]();
  await Promise.all(served);
  // There is room again.
  const [guest, host] = duplexPair();
  const again = resolver.serve(host);
  guest.end(framed(query("a.test")));
  assert.equal((await readAll(guest)).length, 1);
  await again;
});
