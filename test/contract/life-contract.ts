/** What becomes of sandboxes: names, lifetimes, copies, ends. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { run } from "../../src/library/run.ts";
import type { EventRecord } from "../../src/runtime/watching.ts";
import { LASTING, type Place } from "./place.ts";

export function lifeContract(place: () => Place): void {
  test("a sandbox is found by its id, its name and the beginning of either, and by its labels", async () => {
    const { runtime, sandbox } = place();
    for (const ref of [sandbox.id, "contract", "contr", sandbox.id.slice(0, -3)]) {
      assert.equal((await runtime.get(ref)).id, sandbox.id, ref);
    }
    const found = await runtime.list({ labels: { suite: "contract" } });
    assert.deepEqual(
      found
        .filter(({ status }) => status === "running")
        .map(({ id, name, status, labels }) => ({ id, name, status, labels })),
      [{ id: sandbox.id, name: "contract", status: "running", labels: { suite: "contract" } }],
    );
    assert.deepEqual(await runtime.list({ labels: { suite: "other" } }), []);
    await assert.rejects(runtime.get("nobody"), { code: "sandbox_not_found", hint: "sbx list" });
    await assert.rejects(runtime.create({ ...LASTING, name: "contract" }), { code: "name_in_use" });
    await using again = await runtime.connect("contract");
    assert.equal((await run(again, ["true"])).code, 0);
  });

  test("a lifetime grows and never shrinks", async () => {
    const { runtime, sandbox } = place();
    const { expiresAt } = await runtime.get(sandbox.id);
    assert.ok(expiresAt !== null);
    const later = await runtime.extend(sandbox.id, 20 * 60_000);
    assert.ok(later > expiresAt);
    // To a millisecond or so: several clocks are between the two.
    assert.ok((await runtime.extend(sandbox.id, 1000)) > later - 1000);
  });

  test("a paused machine stands still, says so, and goes on", async () => {
    const { runtime, sandbox } = place();
    assert.equal((await runtime.pause("contract")).status, "paused");
    assert.equal((await runtime.get("contract")).status, "paused");
    const [usage] = await runtime.usage({ sandbox: "contract" });
    assert.equal(usage?.id, sandbox.id);
    assert.equal((await runtime.resume("contract")).status, "running");
    assert.equal((await run(sandbox, ["true"])).code, 0);
  });

  test("a fork has the memory and files of its source, and names of its own", async () => {
    const { runtime, sandbox } = place();
    await sandbox.files.write("/tmp/forked", "yes");
    const lifetime = { lifetimeMs: 5 * 60_000 };
    const { sandboxes } = await runtime.fork("contract", { count: 1, name: "contract-copy", ...lifetime });
    assert.deepEqual(
      sandboxes.map(({ name, labels }) => [name, labels.suite]),
      [["contract-copy", "contract"]],
    );
    await using copy = await runtime.connect("contract-copy");
    assert.equal(Buffer.from(await copy.files.read("/tmp/forked")).toString(), "yes");
    await runtime.remove("contract-copy");
  });

  test("a checkpoint is kept, found and removed", async () => {
    const { checkpoints } = place().runtime;
    const made = await checkpoints.create("contract", "contract-ready");
    assert.deepEqual([made.name, made.source.name], ["contract-ready", "contract"]);
    await assert.rejects(checkpoints.create("contract", "contract-ready"), { code: "name_in_use" });
    assert.equal((await checkpoints.get("contract-ready")).id, made.id);
    assert.ok((await checkpoints.list()).some(({ id }) => id === made.id));
    await checkpoints.remove("contract-ready");
    await assert.rejects(checkpoints.get("contract-ready"), { code: "checkpoint_not_found" });
  });

  test("a session has its copies, whose changes are brought back, and ends with the handle that made it", async () => {
    const { runtime, scratchPath } = place();
    const hostPath = path.join(scratchPath, "project");
    mkdirSync(hostPath);
    writeFileSync(path.join(hostPath, "kept"), "kept");
    writeFileSync(path.join(hostPath, "changed"), "before");
    const copies = [{ hostPath, guestPath: "/home/app/project", placement: "as" }] as const;
    const spec = { ...LASTING, lifetime: { kind: "session" }, name: "contract-session", copies } as const;
    const session = await runtime.create(spec);
    await session.files.write("/home/app/project/changed", "after all");
    const [copy] = await runtime.folders.copies("contract-session");
    assert.equal(copy?.hostPath, hostPath);
    {
      await using comparison = await runtime.folders.compare("contract-session");
      assert.deepEqual(
        comparison.changes.map(({ kind, path: name }) => `${kind} ${name}`),
        ["changed changed"],
      );
      assert.equal((await comparison.apply({ remove: false, force: false })).written, 1);
    }
    assert.equal(readFileSync(path.join(hostPath, "changed"), "utf8"), "after all");
    await session[Symbol.asyncDispose]();
    await session[Symbol.asyncDispose]();
    while ((await runtime.get(session.id)).status !== "stopped")
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await runtime.get(session.id)).reason, "session_ended");
  });

  test("a removed sandbox stays known as stopped, and is removed again without an error", async () => {
    const { runtime, sandbox } = place();
    const { seq } = (await first(runtime.events({ tail: 1 }))) ?? { seq: 0 };
    assert.equal((await runtime.remove("contract")).status, "stopped");
    assert.equal((await runtime.remove(sandbox.id)).status, "stopped");
    const { status, reason } = await runtime.get(sandbox.id);
    assert.deepEqual([status, reason], ["stopped", "killed"]);
    await assert.rejects(runtime.connect(sandbox.id), { code: "sandbox_stopped" });
    await assert.rejects(runtime.network.show(sandbox.id), { code: "sandbox_stopped" });
    const types: string[] = [];
    for await (const event of runtime.events({ after: seq, sandbox: sandbox.id })) types.push(event.type);
    assert.ok(types.includes("sandbox.stopped"), types.join());
  });
}

async function first(events: AsyncIterable<EventRecord>): Promise<EventRecord | undefined> {
  for await (const event of events) return event;
  return undefined;
}
