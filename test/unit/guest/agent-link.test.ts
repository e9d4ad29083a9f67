/** Handshake and calls of the agent link, against an agent that does what the test says. */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { openAgentLink } from "../../../src/guest/agent-link.ts";
import { AgentError } from "../../../src/guest/link.ts";
import { encodeJsonFrame, FRAME } from "../../../src/protocol/agent-frames.ts";
import { greetAgent } from "../../../src/protocol/agent-greeting.ts";
import { FakeAgent, HELLO, openFakeLink } from "./fake-agent.ts";

test("the link says HELLO first and reports what the agent said of itself", async () => {
  const { link, agent } = await openFakeLink();
  assert.deepEqual(link.hello, HELLO);
  assert.deepEqual(JSON.parse(String(agent.seen[0]?.payload)), { protocol: 1 });
  assert.equal(agent.seen[0]?.type, FRAME.hello);
});

test("a link that was greeted before says nothing itself and takes the answer to the greeting", async () => {
  const [host, guest] = duplexPair();
  const agent = new FakeAgent(guest);
  host.write(greetAgent("box"));
  const { method, params, id } = await agent.call();
  assert.deepEqual([method, params.hostname], ["resume", "box"]);
  agent.sendJson(FRAME.reply, id, { ok: { bootId: "b" } });
  const link = await openAgentLink(host, { greeted: true });
  assert.deepEqual(await link.greeting, { bootId: "b" });
  const next = link.call("fs.realPath", { path: "/a", user: "app" });
  agent.sendJson(FRAME.reply, (await agent.call(1)).id, { ok: "/a" });
  assert.equal(await next, "/a");
  assert.equal(agent.seen.filter(({ type }) => type === FRAME.hello).length, 1);
});

test("a greeting that the guest refuses, or hangs up on, is an error", async () => {
  for (const answer of ["refuse", "hang up"]) {
    const [host, guest] = duplexPair();
    const agent = new FakeAgent(guest);
    host.write(greetAgent("box"));
    const link = await openAgentLink(host, { greeted: true });
    if (answer === "hang up") guest.destroy();
    else agent.sendJson(FRAME.reply, (await agent.call()).id, { error: { code: "EINVAL", message: "no" } });
    await assert.rejects(link.greeting ?? Promise.resolve());
  }
});

test("what a former link left in the port is dropped, and what follows the HELLO is not", async () => {
  const [host, guest] = duplexPair();
  const opening = openAgentLink(host);
  guest.write(Buffer.from([9, 9, 9, 0, 5, 0, 0, 0, 1]));
  guest.write(Buffer.concat([encodeJsonFrame(FRAME.hello, 0, HELLO), encodeJsonFrame(FRAME.event, 0, { event: "x" })]));
  const link = await opening;
  assert.deepEqual(link.hello, HELLO);
});

test("an agent that hangs up before its HELLO fails the handshake", async () => {
  const [host, guest] = duplexPair();
  const opening = openAgentLink(host);
  guest.destroy();
  await assert.rejects(opening, { code: "agent_protocol", message: "the guest agent hung up before its HELLO" });
});

test("an abort ends the handshake with its reason and destroys the socket", async () => {
  const [host] = duplexPair();
  const controller = new AbortController();
  const opening = openAgentLink(host, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(opening, { message: "enough" });
  assert.equal(host.destroyed, true);
});

test("a call is answered by its own reply, whatever the order", async () => {
  const { link, agent } = await openFakeLink();
  const first = link.call("fs.realPath", { path: "/a", user: "app" });
  const second = link.call("fs.realPath", { path: "/b", user: "app" });
  const calls = [await agent.call(0), await agent.call(1)] as const;
  assert.deepEqual(calls[0].params, { path: "/a", user: "app" });
  agent.sendJson(FRAME.reply, calls[1].id, { ok: "/second" });
  agent.sendJson(FRAME.reply, calls[0].id, { ok: "/first" });
  assert.deepEqual(await Promise.all([first, second]), ["/first", "/second"]);
});

test("an error of the guest's is an AgentError with its code and path", async () => {
  const { link, agent } = await openFakeLink();
  const call = link.call("fs.readLink", { path: "/x", user: "app" });
  agent.sendJson(FRAME.reply, (await agent.call()).id, { error: { code: "ENOENT", message: "gone", path: "/x" } });
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof AgentError);
    assert.deepEqual([error.code, error.message, error.path], ["ENOENT", "gone", "/x"]);
    return true;
  });
});

test("an abort rejects at once, sends CANCEL, and the late answer is taken without a word", async () => {
  const { link, agent } = await openFakeLink();
  const controller = new AbortController();
  const call = link.call("file.lock", { handle: 1, exclusive: true }, { signal: controller.signal });
  const { id } = await agent.call();
  controller.abort(new Error("stop it"));
  await assert.rejects(call, { message: "stop it" });
  await agent.frame((frame) => frame.type === FRAME.cancel && frame.id === id);
  agent.sendJson(FRAME.reply, id, { error: { code: "ECANCELED", message: "" } });
  const next = link.call("sync", {});
  agent.sendJson(FRAME.reply, (await agent.call(1)).id, { ok: null });
  assert.equal(await next, null);
});

test("params beyond a frame are refused as E2BIG and nothing is sent", async () => {
  const { link, agent } = await openFakeLink();
  const call = link.call("fs.stat", { path: "x".repeat(1024 * 1024), user: "app" });
  await assert.rejects(call, { code: "E2BIG" });
  assert.equal(agent.seen.length, 1);
});

test("events reach the listeners, and kinds that are not known are passed over", async () => {
  const { link, agent } = await openFakeLink();
  const events: unknown[] = [];
  const got = new Promise<void>((resolve) => {
    link.onEvent((event) => {
      events.push(event);
      resolve();
    });
  });
  agent.sendJson(FRAME.event, 0, { event: "weather", sun: true });
  agent.sendJson(FRAME.event, 0, { event: "oom", pid: 5, comm: "python3", extra: 1 });
  await got;
  assert.deepEqual(events, [{ event: "oom", pid: 5, comm: "python3" }]);
});

test("when the agent hangs up, calls, streams and `closed` all say so", async () => {
  const { link, agent } = await openFakeLink();
  const call = link.call("sync", {});
  const readable = link.openReadable();
  const failed = new Promise<Error>((resolve) => readable.on("error", resolve));
  await agent.call();
  agent.socket.destroy();
  const expected = { code: "agent_protocol", message: "the guest agent hung up" };
  await assert.rejects(call, expected);
  assert.equal((await failed).message, expected.message);
  assert.equal((await link.closed)?.message, expected.message);
  await assert.rejects(link.call("sync", {}), expected);
  assert.throws(() => link.openReadable(), expected);
});

test("disposing closes the socket, rejects calls and is no error; twice is fine", async () => {
  const { link, agent } = await openFakeLink();
  const call = link.call("sync", {});
  const rejected = assert.rejects(call, { code: "connection_closed" });
  await link[Symbol.asyncDispose]();
  await link[Symbol.asyncDispose]();
  assert.equal(await link.closed, undefined);
  await rejected;
  await agent.until(() => agent.ended);
});

const violations: [string, (agent: FakeAgent, callId: number) => void, RegExp][] = [
  ["an answer to a call that is not open", (a) => a.sendJson(FRAME.reply, 99, { ok: null }), /REPLY to call 99/],
  ["an answer that is no JSON", (a, id) => a.send(FRAME.reply, id, Buffer.from("{]")), /answer to fs\.stat is not valid/],
  ["an answer of another shape", (a, id) => a.sendJson(FRAME.reply, id, { ok: [] }), /answer to fs\.stat is not valid/],
  ["an answer with a bad error", (a, id) => a.sendJson(FRAME.reply, id, { error: { code: "no", message: "" } }), /answer/],
  ["a second answer", (a, id) => {
    a.sendJson(FRAME.reply, id, { error: { code: "EIO", message: "" } });
    a.sendJson(FRAME.reply, id, { error: { code: "EIO", message: "" } });
  }, /REPLY to call 1/],
  ["a CALL", (a) => a.sendJson(FRAME.call, 1, {}), /a CALL frame from the guest/],
  ["a CANCEL", (a) => a.send(FRAME.cancel, 1), /a CANCEL frame from the guest/],
  ["a known event of another shape", (a) => a.sendJson(FRAME.event, 0, { event: "oom" }), /an EVENT is not valid/],
  ["DATA on a stream that never was", (a) => a.send(FRAME.data, 9, Buffer.from("x")), /DATA on stream 9/],
  ["END on stream 0", (a) => a.send(FRAME.end, 0), /END on stream 0/],
  ["a frame of an unknown type", (a) => a.raw(Buffer.from([0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0])), /a frame of type 77/],
];
for (const [what, commit, message] of violations) {
  test(`${what} ends the link with the reason`, async () => {
    const { link, agent } = await openFakeLink();
    const call = link.call("fs.stat", { path: "/", user: "app" });
    call.catch(() => undefined);
    commit(agent, (await agent.call()).id);
    const reason = await link.closed;
    assert.match(String(reason?.message), message);
    assert.equal((reason as { code?: string }).code, "agent_protocol");
    await agent.until(() => agent.ended);
  });
}

test("a repeated HELLO is passed over", async () => {
  const { link, agent } = await openFakeLink();
  agent.sendJson(FRAME.hello, 0, HELLO);
  const call = link.call("sync", {});
  agent.sendJson(FRAME.reply, (await agent.call()).id, { ok: null });
  assert.equal(await call, null);
});
