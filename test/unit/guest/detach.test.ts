/** A link that lets its machine be copied: between `detach` and `attach` not one byte goes to the guest. */
import assert from "node:assert/strict";
import { setImmediate as tick } from "node:timers/promises";
import { test } from "node:test";
import { FRAME } from "../../../src/protocol/agent-frames.ts";
import { openFakeLink } from "./fake-agent.ts";

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await tick();
}

test("what is sent while the link is detached reaches the guest after it, in its order", async () => {
  const { link, agent } = await openFakeLink();
  const stream = link.openWritable();
  const opened = link.call("fs.writeFile", {
    ...{ path: "/f", user: "app", stream: stream.streamId, append: false, create: true, createNew: false, mode: null },
  });
  const file = await agent.call(0);
  const detaching = link.detach();
  const detach = await agent.call(1);
  assert.equal(detach.method, "detach");
  const before = agent.seen.length;
  stream.write("data");
  const late = link.call("sync", {});
  agent.sendJson(FRAME.reply, detach.id, { ok: null });
  await detaching;
  await settled();
  assert.equal(agent.seen.length, before, "nothing was written");
  const attaching = link.attach();
  const sync = await agent.call(2);
  const attach = await agent.call(3);
  assert.deepEqual([sync.method, attach.method], ["sync", "attach"]);
  await settled();
  assert.deepEqual(
    agent.seen.slice(before).map(({ type }) => type),
    [FRAME.call, FRAME.data, FRAME.call],
  );
  agent.sendJson(FRAME.reply, sync.id, { ok: null });
  agent.sendJson(FRAME.reply, attach.id, { ok: null });
  await Promise.all([late, attaching]);
  stream.end();
  agent.sendJson(FRAME.reply, file.id, { ok: null });
  await opened;
});

test("a guest that refuses to be detached gets what was held back, and an attach", async () => {
  const { link, agent } = await openFakeLink();
  const detaching = link.detach();
  const detach = await agent.call(0);
  const late = link.call("sync", {});
  agent.sendJson(FRAME.reply, detach.id, { error: { code: "EIO", message: "no freezer" } });
  const sync = await agent.call(1);
  const attach = await agent.call(2);
  assert.deepEqual([sync.method, attach.method], ["sync", "attach"]);
  agent.sendJson(FRAME.reply, sync.id, { ok: null });
  agent.sendJson(FRAME.reply, attach.id, { ok: null });
  await late;
  await assert.rejects(detaching, { code: "EIO" });
});

test("a guest that says nothing any more holds nobody up: neither a detach that is not answered, nor an attach", async (t) => {
  // Deadlines come at once.
  t.mock.method(AbortSignal, "timeout", () => AbortSignal.abort(new DOMException("too late", "TimeoutError")));
  const { link } = await openFakeLink();
  await assert.rejects(link.attach(), { code: "timeout", message: "the guest does not say within 20 s that it goes on" });
  await assert.rejects(link.detach(), { code: "timeout" });
});
