/** A running sandbox that is copied: its disks' new layers stay if its machine writes to them, and only then. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { COPIES_TARGET, type CopyCall } from "../../../src/protocol/machine-calls.ts";
import { saveMachine } from "../../../src/runtime/local/copies/save-machine.ts";
import { savedFiles } from "../../../src/runtime/local/copies/saved-machine.ts";
import { settleDisks } from "../../../src/runtime/local/disks/settle.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { makeUsedVolume, type Box } from "./boxes.ts";
import { inconsistencies, newDisks, type DiskHome } from "./disk-home.ts";

const COPY = `POST ${COPIES_TARGET}`;

async function save(home: DiskHome, box: Box, directory: string, signal?: AbortSignal): Promise<unknown> {
  const source = home.state.store.get(box.id);
  assert.ok(source !== undefined);
  return saveMachine(home.context, source, { files: savedFiles(directory), durable: false, volumes: "copy", signal });
}

test("a copy that is refused before anybody was asked leaves the volumes of the sandbox as they were", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  const before = home.files();
  rmSync(path.join(home.state.paths.templatesPath, "key-box"), { recursive: true });
  await assert.rejects(save(home, box, temporaryDirectory(t)), { code: "unsupported" });
  await assert.rejects(save(home, box, temporaryDirectory(t), AbortSignal.abort()));
  assert.deepEqual(home.files(), before);
  assert.deepEqual(await inconsistencies(home), []);
  await settleDisks(home.state, Date.now());
  assert.deepEqual(box.layers(), [], "the next command asks for nothing");
});

test("a copy that the supervisor refuses leaves nothing; one that nobody knows of keeps the new layers", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  const refuse = (code: string): void =>
    void box.door.answers.set(COPY, () => ({ status: 500, body: { code, message: code } }));
  const before = home.files();
  refuse("vm_memory_unreadable");
  await assert.rejects(save(home, box, temporaryDirectory(t)), { code: "vm_memory_unreadable" });
  assert.deepEqual(await inconsistencies(home), []);
  assert.deepEqual(home.files(), before);
  refuse("supervisor_lost");
  await assert.rejects(save(home, box, temporaryDirectory(t)), { code: "supervisor_lost" });
  const call = box.door.requests.map(({ body }) => body as CopyCall).at(-1);
  await settleDisks(home.state, Date.now());
  const asked = [...(call?.volumes ?? []).map(({ layerPath }) => layerPath), call?.layerPath];
  assert.deepEqual(box.layers().slice(2), asked, "the next command asks for what may have been done");
  assert.deepEqual(await inconsistencies(home), []);
  assert.equal(home.headPath("data"), call?.volumes[0]?.layerPath);
});
