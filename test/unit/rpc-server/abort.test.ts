/** Aborting calls (deno-sandbox-protocol, section 2.7). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openBench } from "./rpc-harness.ts";
import { never } from "./scripted-agent.ts";

const ABORTED = {
  constructorName: "DOMException",
  name: "AbortError",
  message: "The signal has been aborted",
  code: null,
};

test("an abort of an id that is unknown, or of a call that is over, is answered with ok", async (t) => {
  const bench = await openBench(t, {
    "fs.readFile": async ({ stream }, agent) => {
      await agent.produceAll(stream, "x");
      return null;
    },
  });
  const { client } = await bench.connect();
  assert.equal(await client.call("abort", { abortId: 0 }), null);
  await client.call("readFile", { path: "a", abortId: 0 });
  assert.equal(await client.call("abort", { abortId: 0 }), null);
});

test("an abort stops a read in the guest and answers the read with an AbortError", async (t) => {
  const bench = await openBench(t, { "fs.readFile": () => never() });
  const { client } = await bench.connect();
  const reading = client.request("readFile", { path: "a", abortId: 0 });
  const { stream } = await bench.agent.call("fs.readFile");
  await client.call("abort", { abortId: 0 });
  assert.deepEqual((await client.reply(reading)).result, { error: ABORTED });
  await bench.agent.until(() => bench.agent.cancelled.includes("fs.readFile") && bench.agent.stopped.has(stream));
});

test("an abort stops a write in the guest and the client's stream", async (t) => {
  const bench = await openBench(t, { "fs.writeFile": () => never() });
  const { client } = await bench.connect();
  client.notify("$sandbox.stream.start", { streamId: 5 });
  const writing = client.request("writeTextFile", { path: "a", abortId: 3, contentStreamId: 5 });
  client.chunk(5, "part");
  const { stream } = await bench.agent.call("fs.writeFile");
  await bench.agent.until(() => bench.agent.received(stream).toString() === "part");
  await client.call("abort", { abortId: 3 });
  assert.deepEqual((await client.reply(writing)).result, { error: ABORTED });
  await assert.rejects(bench.agent.consume(stream), { code: "ECANCELED" });
  assert.equal((await client.message((m) => m.method === "$sandbox.stream.cancel")).params?.streamId, 5);
});

test("an abort touches its own call alone, and only on its own connection", async (t) => {
  const finish = new Map<string, () => void>();
  const bench = await openBench(t, {
    "fs.readFile": async ({ path, stream }, agent) => {
      await new Promise<void>((resolve) => finish.set(path, resolve));
      await agent.produceAll(stream, path);
      return null;
    },
  });
  const { client } = await bench.connect();
  const { client: other } = await bench.connect();
  const theirs = other.request("readTextFile", { path: "/theirs", abortId: 0 });
  const mine = client.request("readTextFile", { path: "/mine", abortId: 0 });
  const second = client.request("readTextFile", { path: "/second", abortId: 1 });
  await bench.agent.until(() => finish.size === 3);
  await client.call("abort", { abortId: 0 });
  for (const resolve of finish.values()) resolve();
  assert.deepEqual((await client.reply(mine)).result, { error: ABORTED });
  assert.deepEqual((await client.reply(second)).result, { ok: "/second" });
  assert.deepEqual((await other.reply(theirs)).result, { ok: "/theirs" });
});

test("calls under way end in the guest when their client leaves", async (t) => {
  const bench = await openBench(t, { "fs.readFile": () => never(), "fs.copyFile": () => never() });
  const { client } = await bench.connect();
  client.request("readFile", { path: "a" });
  client.request("copyFile", { fromPath: "a", toPath: "b" });
  await bench.agent.call("fs.copyFile");
  client.socket.terminate();
  await bench.agent.until(() => bench.agent.cancelled.length === 2);
});

test("whole files are read two at a time, and one that is aborted makes room", async (t) => {
  const bench = await openBench(t, { "fs.readFile": () => never() });
  const { client } = await bench.connect();
  const ids = [0, 1, 2].map((abortId) => client.request("readFile", { path: `f${abortId}`, abortId }));
  await client.settle();
  const reads = (): number => bench.agent.calls.filter((call) => call.method === "fs.readFile").length;
  assert.equal(reads(), 2);
  await client.call("abort", { abortId: 0 });
  await client.reply(ids[0] ?? 0);
  await bench.agent.until(() => reads() === 3);
});
