/** Envelopes, heartbeat and closing (deno-sandbox-protocol, sections 2.1 and 2.2). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openBench } from "./rpc-harness.ts";
import { never } from "./scripted-agent.ts";

test("the text ping is answered by the text pong", async (t) => {
  const { client } = await (await openBench(t)).connect();
  client.send("ping");
  assert.deepEqual(await client.message((m) => m.text !== undefined), { text: "pong" });
});

test("request id 0 is answered, with exactly one result", async (t) => {
  const { client } = await (await openBench(t)).connect();
  client.send({ jsonrpc: "2.0", id: 0, method: "envSet", params: { key: "A", value: "b" } });
  assert.deepEqual(await client.reply(0), { jsonrpc: "2.0", id: 0, result: { ok: null } });
});

test("a request in a binary message is taken from a plain client", async (t) => {
  const { client } = await (await openBench(t)).connect();
  client.socket.send(Buffer.from('{"jsonrpc":"2.0","id":5,"method":"envGet","params":{"key":"HOME"}}'));
  assert.deepEqual((await client.reply(5)).result, { ok: "/home/app" });
});

test("an unknown method is -32601, names of Object's included", async (t) => {
  const { client } = await (await openBench(t)).connect();
  for (const method of ["nope", "constructor", "__proto__", "toString", ""]) {
    const reply = await client.reply(client.request(method, {}));
    assert.deepEqual(reply.error, { code: -32601, message: "Method not found" });
  }
});

test("methods of the extensions are unknown to a plain client", async (t) => {
  const { client } = await (await openBench(t)).connect();
  const reply = await client.reply(client.request("sbx.info", {}));
  assert.equal(reply.error?.code, -32601);
});

test("invalid params are -32602 with the issues in the published shape", async (t) => {
  const { client } = await (await openBench(t)).connect();
  const { error } = await client.reply(client.request("readFile", { path: 5 }));
  assert.equal(error?.code, -32602);
  const data = error.data as { constructorName: string; message: string };
  assert.equal(data.constructorName, "ZodError");
  assert.deepEqual((JSON.parse(data.message) as { path: unknown }[])[0]?.path, ["path"]);
});

test("params that are unknown are ignored, and optional ones may be null", async (t) => {
  const { client } = await (await openBench(t, { "fs.umask": () => 0o22 })).connect();
  assert.equal(await client.call("umask", { mask: null, stdin: "piped" }), 0o22);
});

for (const [what, message, code] of [
  ["no JSON", "{", 4000],
  ["no object", "[]", 4001],
  ["another version", '{"id":1,"method":"envGet"}', 4001],
  ["id null", '{"jsonrpc":"2.0","id":null,"method":"envGet","params":{"key":"A"}}', 4001],
  ["a fractional id", '{"jsonrpc":"2.0","id":1.5,"method":"envGet"}', 4001],
  ["a method that is no string", '{"jsonrpc":"2.0","id":1,"method":1}', 4001],
  ["a stream id that is none", '{"jsonrpc":"2.0","method":"$sandbox.stream.end","params":{"streamId":-1}}', 4001],
  [
    "a chunk that is not base64",
    '{"jsonrpc":"2.0","method":"$sandbox.stream.enqueue","params":{"streamId":1,"data":"*"}}',
    4001,
  ],
] as const) {
  test(`a message with ${what} closes the connection with ${code} and is not answered`, async (t) => {
    const { client } = await (await openBench(t)).connect();
    client.send(message);
    assert.equal((await client.closed).code, code);
    assert.deepEqual(client.messages, []);
  });
}

test("unknown notifications are ignored", async (t) => {
  const { client } = await (await openBench(t)).connect();
  client.notify("$something.else", { a: 1 });
  await client.settle();
});

test("a long poll holds up nothing that comes after it", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never() });
  const { client } = await bench.connect();
  await client.call("spawn", { command: "sleep", stdout: "null", stderr: "null" });
  const waiting = client.request("processWait", { pid: 7 });
  await client.settle();
  assert.ok(!client.messages.some((m) => m.id === waiting));
});

test("a sandbox that has no VS Code says so in words", async (t) => {
  const { client } = await (await openBench(t)).connect();
  const other = await client.callError("vscode", { path: "/", extensions: [] });
  assert.match(other.message, /not supported by this sandbox/);
});

test("close ends the streams with an error first and then closes with code and reason", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never() });
  const { client, connection } = await bench.connect();
  const { stdoutStreamId } = await client.call<{ stdoutStreamId: number }>("spawn", {
    command: "x",
    stdout: "piped",
    stderr: "null",
  });
  await client.message((m) => m.method === "$sandbox.stream.start");
  connection.close(1001, "the sandbox has expired");
  assert.deepEqual(await client.closed, { code: 1001, reason: "the sandbox has expired" });
  await connection.closed;
  assert.deepEqual(client.stream(stdoutStreamId), ["start", "error"]);
});

test("a reason that no close frame holds is cut without breaking a character", async (t) => {
  const { client, connection } = await (await openBench(t)).connect();
  connection.close(1001, "ä".repeat(100));
  assert.equal((await client.closed).reason, "ä".repeat(61));
});
