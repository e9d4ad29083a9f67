/** Streams in both directions (deno-sandbox-protocol, section 2.6) and what keeps an SDK client alive. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { type Bench, openBench, type TestClient } from "./rpc-harness.ts";
import { never } from "./scripted-agent.ts";

const MIB = 1024 * 1024;

/** Starts a process and returns the guest's ends of its streams beside the client's ids. */
async function spawn(
  bench: Bench,
  client: TestClient,
  params: Record<string, unknown> = {},
): Promise<{ out: number; guestOut: number; guestIn: number }> {
  const { stdoutStreamId } = await client.call<{ stdoutStreamId: number }>("spawn", {
    command: "x",
    stdout: "piped",
    stderr: "null",
    ...params,
  });
  const { stdout, stdin } = await bench.agent.call("exec");
  return { out: stdoutStreamId, guestOut: stdout ?? 0, guestIn: stdin ?? 0 };
}

const SCRIPT = { exec: () => ({ pid: 7 }), wait: () => never<never>(), kill: () => null };

/** Waits until a number does not change any more. */
async function standstill(read: () => number): Promise<void> {
  for (let still = 0, last = -1; still < 5; still = read() === last ? still + 1 : 0, last = read()) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("the reply comes before the stream's start, and start before its first chunk", async (t) => {
  const bench = await openBench(t, {
    ...SCRIPT,
    exec: async ({ stdout }, agent) => {
      await agent.produceAll(stdout ?? 0, "early");
      return { pid: 7 };
    },
  });
  const { client } = await bench.connect();
  const { out } = await spawn(bench, client);
  await client.streamBytes(out);
  const about = client.messages.map((m) => m.id ?? m.method);
  assert.deepEqual(about, [0, "$sandbox.stream.start", "$sandbox.stream.enqueue", "$sandbox.stream.end"]);
});

test("stream ids differ between connections and fit 48 bits", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const bases = new Set<number>();
  for (let i = 0; i < 3; i++) {
    const { client } = await bench.connect();
    const { out } = await spawn(bench, client);
    assert.ok(out < 2 ** 48);
    bases.add(Math.floor(out / 1000));
  }
  assert.equal(bases.size, 3);
});

test("an empty chunk is never sent, nor anything for an empty stream but start and end", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out, guestOut } = await spawn(bench, client);
  bench.agent.end(guestOut);
  await client.streamBytes(out);
  assert.deepEqual(client.stream(out), ["start", "end"]);
});

test("chunks of a plain client hold at most 64 KiB and arrive unchanged", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out, guestOut } = await spawn(bench, client);
  const bytes = Buffer.alloc(1.5 * MIB, "0123456789abcde");
  await bench.agent.produceAll(guestOut, bytes);
  assert.ok((await client.streamBytes(out)).equals(bytes));
  const sizes = client.messages
    .filter((m) => m.method === "$sandbox.stream.enqueue")
    .map((m) => Buffer.from(String(m.params?.["data"]), "base64").length);
  assert.ok(Math.min(...sizes) > 0 && Math.max(...sizes) <= 64 * 1024);
});

test("after a cancel nothing more is sent for the stream, and the guest is told to stop", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out, guestOut } = await spawn(bench, client);
  await bench.agent.produce(guestOut, "one");
  await client.message((m) => m.method === "$sandbox.stream.enqueue");
  client.notify("$sandbox.stream.cancel", { streamId: out, reason: { constructorName: "Error", message: "enough" } });
  await bench.agent.until(() => bench.agent.stopped.has(guestOut));
  await bench.agent.produceAll(guestOut, "two");
  await client.settle();
  assert.deepEqual(client.stream(out), ["start", "data:one"]);
});

test("no end follows a cancel that was sent when the last chunk had been read", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out, guestOut } = await spawn(bench, client);
  client.socket.on("message", (data: Buffer) => {
    if (!data.includes("stream.enqueue")) return;
    client.notify("$sandbox.stream.cancel", { streamId: out, reason: null });
  });
  await bench.agent.produce(guestOut, "one");
  bench.agent.end(guestOut);
  await client.message((m) => m.method === "$sandbox.stream.enqueue");
  await client.settle();
  assert.deepEqual(client.stream(out), ["start", "data:one"]);
});

test("a client that answers no pings gets its end all the same", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  client.socket.pong = () => undefined;
  const { out, guestOut } = await spawn(bench, client);
  await bench.agent.produceAll(guestOut, "one");
  assert.equal(String(await client.streamBytes(out)), "one");
  assert.deepEqual(client.stream(out), ["start", "data:one", "end"]);
});

test("a cancel for a stream that has ended, or that never was, is nothing", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out, guestOut } = await spawn(bench, client);
  bench.agent.end(guestOut);
  await client.streamBytes(out);
  client.notify("$sandbox.stream.cancel", { streamId: out, reason: null });
  client.notify("$sandbox.stream.cancel", { streamId: 12345, reason: null });
  await client.settle();
  assert.deepEqual(client.stream(out), ["start", "end"]);
});

test("a stream that the guest fails ends with an error and no end", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out, guestOut } = await spawn(bench, client);
  bench.agent.failStream(guestOut, "EIO");
  const message = await client.message((m) => m.method === "$sandbox.stream.error");
  assert.equal((message.params?.["error"] as { code: string }).code, "EIO");
  await client.settle();
  assert.deepEqual(client.stream(out), ["start", "error"]);
});

test("whoever ends his half of the connection is told how the streams end, and then of the connection's end", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { out } = await spawn(bench, client);
  // As a control plane does that goes away: it says no more, and passes on what still comes.
  const { _socket: socket } = client.socket as unknown as { _socket: Duplex };
  socket.end();
  const { code } = await client.closed;
  assert.equal(code, 1001);
  assert.deepEqual(client.stream(out), ["start", "error"]);
});

test("a client that does not read its socket stops the guest's stream, not the supervisor's memory", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { guestOut } = await spawn(bench, client);
  client.socket.pause();
  const total = 64 * MIB;
  let sent = 0;
  const producing = (async () => {
    while (sent < total) {
      await bench.agent.produce(guestOut, Buffer.alloc(64 * 1024));
      sent += 64 * 1024;
    }
  })();
  await standstill(() => sent);
  assert.ok(sent < 24 * MIB, `${sent} bytes`);
  client.socket.resume();
  await producing;
});

test("chunks that come before the call that names their stream are kept for it", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  client.notify("$sandbox.stream.start", { streamId: 0 });
  client.chunk(0, "be");
  client.chunk(0, "");
  client.chunk(0, "fore");
  const { guestIn } = await spawn(bench, client, { stdinStreamId: 0 });
  client.chunk(0, " and after");
  client.notify("$sandbox.stream.end", { streamId: 0 });
  assert.equal((await bench.agent.consume(guestIn)).toString(), "before and after");
});

test("a stream that ended before its call, and one without start, are whole", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  client.chunk(3, "all of it");
  client.notify("$sandbox.stream.end", { streamId: 3 });
  const { guestIn } = await spawn(bench, client, { stdinStreamId: 3 });
  assert.equal((await bench.agent.consume(guestIn)).toString(), "all of it");
});

test("when the process reads no more, the client's stream is cancelled with a reason", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { guestIn } = await spawn(bench, client, { stdinStreamId: 4 });
  client.chunk(4, "x");
  await bench.agent.until(() => bench.agent.received(guestIn).length === 1);
  bench.agent.stop(guestIn);
  const cancel = await client.message((m) => m.method === "$sandbox.stream.cancel");
  assert.equal(cancel.params?.streamId, 4);
  assert.equal((cancel.params["reason"] as { constructorName: string }).constructorName, "BrokenPipe");
  // What was under way is dropped, and not taken for a stream that no call has named.
  for (let i = 0; i < 70; i++) client.chunk(4, Buffer.alloc(64 * 1024));
  await client.settle();
  assert.equal(client.messages.filter((m) => m.method === "$sandbox.stream.cancel").length, 1);
});

test("the client's error fails the stream in the guest", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { guestIn } = await spawn(bench, client, { stdinStreamId: 4 });
  client.notify("$sandbox.stream.error", { streamId: 4, error: "a bare string, as Python sends it" });
  await assert.rejects(bench.agent.consume(guestIn), { code: "EIO" });
});

test("a stream that a failing call names is cancelled", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  client.notify("$sandbox.stream.start", { streamId: 6 });
  client.request("spawn", { command: 5, stdinStreamId: 6 });
  assert.equal((await client.message((m) => m.method === "$sandbox.stream.cancel")).params?.streamId, 6);
  client.notify("$sandbox.stream.start", { streamId: 7 });
  client.request("fetch", { url: "nope:", method: "GET", headers: [], redirect: "follow", bodyStreamId: 7 });
  assert.ok(await client.message((m) => m.method === "$sandbox.stream.cancel" && m.params?.streamId === 7));
});

test("a stream belongs to one call", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  await spawn(bench, client, { stdinStreamId: 6 });
  const error = await client.callError("spawn", { command: "x", stdout: "null", stderr: "null", stdinStreamId: 6 });
  assert.deepEqual([error.constructorName, error.message], ["TypeError", "stream 6 is in use by another call"]);
});

test("streams that no call names are bounded in number and in bytes", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  for (let id = 0; id < 257; id++) client.notify("$sandbox.stream.start", { streamId: id });
  assert.equal((await client.message((m) => m.method === "$sandbox.stream.cancel")).params?.streamId, 0);
  for (let i = 0; i < 70; i++) client.chunk(200, Buffer.alloc(64 * 1024));
  assert.ok(await client.message((m) => m.method === "$sandbox.stream.cancel" && m.params?.streamId === 200));
});

test("with the extensions, data travels in binary frames both ways", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect({ extensions: true });
  client.notify("$sandbox.stream.start", { streamId: 1 });
  client.binary(1, "in");
  const { out, guestOut, guestIn } = await spawn(bench, client, { stdinStreamId: 1 });
  client.notify("$sandbox.stream.end", { streamId: 1 });
  assert.equal((await bench.agent.consume(guestIn)).toString(), "in");
  await bench.agent.produceAll(guestOut, "out");
  await client.streamBytes(out);
  assert.deepEqual(client.stream(out), ["start", "data:out", "end"]);
});

test("with the extensions, a stream waits for its credit and holds up no other", async (t) => {
  const bench = await openBench(t, {
    ...SCRIPT,
    exec: ({ argv }) => ({ pid: argv[0] === "x" ? 7 : 8 }),
  });
  const { client } = await bench.connect({ extensions: true });
  const { out, guestOut } = await spawn(bench, client);
  void bench.agent.produce(guestOut, Buffer.alloc(3 * MIB));
  const received = (): number =>
    client.messages.reduce((sum, m) => sum + (m.binary?.streamId === out ? m.binary.payload.length : 0), 0);
  await client.until(() => received() === MIB);
  const other = await client.call<{ stdoutStreamId: number }>("spawn", {
    command: "y",
    stdout: "piped",
    stderr: "null",
  });
  const second = bench.agent.calls.filter((call) => call.method === "exec")[1];
  await bench.agent.produceAll(second?.params["stdout"] as number, "through");
  assert.equal((await client.streamBytes(other.stdoutStreamId)).toString(), "through");
  assert.equal(received(), MIB);
  client.notify("$sbx.stream.credit", { streamId: out, bytes: MIB + 1 });
  await client.until(() => received() === 2 * MIB + 1);
});

test("with the extensions, a client gets credit for what the guest took and is cut off beyond its window", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect({ extensions: true });
  const { guestIn } = await spawn(bench, client, { stdinStreamId: 1 });
  client.binary(1, Buffer.alloc(256 * 1024));
  const credit = await client.message((m) => m.method === "$sbx.stream.credit");
  assert.deepEqual(credit.params, { streamId: 1, bytes: 256 * 1024 });
  bench.agent.stuck.add(guestIn);
  for (let i = 0; i < 9; i++) client.binary(1, Buffer.alloc(256 * 1024));
  assert.deepEqual(await client.closed, { code: 4001, reason: "stream 1 exceeds its window" });
});

test("a plain client that floods a process that does not read is not read either, until it does", async (t) => {
  const bench = await openBench(t, SCRIPT);
  const { client } = await bench.connect();
  const { guestIn } = await spawn(bench, client, { stdinStreamId: 1 });
  bench.agent.stuck.add(guestIn);
  const chunk = Buffer.alloc(256 * 1024);
  const message = { streamId: 1, data: chunk.toString("base64") };
  const text = JSON.stringify({ jsonrpc: "2.0", method: "$sandbox.stream.enqueue", params: message });
  let sent = 0;
  const sending = (async () => {
    for (; sent < 400; sent++) await new Promise((resolve) => client.socket.send(text, resolve));
  })();
  await standstill(() => sent);
  assert.ok(sent * chunk.length > 32 * MIB && sent * chunk.length < 64 * MIB, `${sent} chunks were taken`);
  bench.agent.stuck.delete(guestIn);
  bench.agent.credit(guestIn, 1024 * MIB);
  await sending;
  client.notify("$sandbox.stream.end", { streamId: 1 });
  assert.equal((await bench.agent.consume(guestIn)).length, 400 * chunk.length);
});
