/** Volumes and snapshots. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { run } from "../../src/library/run.ts";
import type { Place } from "./place.ts";

const MB = 1_000_000;

export function diskContract(place: () => Place): void {
  test("a volume is made, used, grown, copied, removed and brought back", async () => {
    const { runtime, sandbox, scratchPath, word } = place();
    const { volumes, snapshots } = runtime;
    const [data, tools, copy] = [`data-${word}`, `tools-${word}`, `copy-${word}`];
    const made = await volumes.create({ slug: data, capacityBytes: 320 * MB });
    assert.deepEqual([made.slug, made.capacityBytes, made.isBootable], [data, 320 * MB, false]);
    await assert.rejects(volumes.create({ slug: data, capacityBytes: 320 * MB }), { code: "name_in_use" });
    await volumes.attach(made.id, sandbox.id, { path: "/data", access: "read-write" });
    const { holders } = await volumes.get(data);
    assert.deepEqual(
      holders.map(({ id, path: at }) => [id, at]),
      [[sandbox.id, "/data"]],
    );
    await run(sandbox, ["sh", "-c", "echo kept > /data/file && sync"]);
    await assert.rejects(volumes.remove(data), { code: "volume_in_use" });
    await volumes.detach(data, sandbox.id);
    assert.equal((await volumes.resize(data, 340 * MB)).capacityBytes, 340 * MB);
    const snapshot = await volumes.snapshot(data, tools);
    assert.deepEqual([snapshot.source.kind, snapshot.source.name], ["volume", data]);
    const again = await volumes.create({ slug: copy, from: tools });
    assert.equal(again.baseSnapshot?.slug, tools);
    await assert.rejects(snapshots.remove(tools), { code: "snapshot_in_use" });
    assert.ok((await snapshots.tree()).some(({ slug, volumes: on }) => slug === tools && on.length === 1));
    const file = path.join(scratchPath, "data.disk");
    const report = await volumes.export(data, { path: file, overwrite: false });
    const bytes = readFileSync(file);
    assert.equal(bytes.length, report.fileBytes);
    // The digest is the file's last field.
    assert.equal(bytes.subarray(-32).toString("hex"), report.sha256);
    assert.notEqual(createHash("sha256").update(bytes).digest("hex"), report.sha256);
    const imported = await volumes.import(createReadStream(file), { slug: `back-${word}` });
    // A file holds whole sectors.
    assert.deepEqual([imported.slug, imported.capacityBytes >= 340 * MB], [`back-${word}`, true]);
    await volumes.remove(imported.id);
    const cut = bytes.subarray(0, -1);
    await assert.rejects(volumes.import(Readable.from([cut]), { slug: `cut-${word}` }), { code: "disk_file_invalid" });
    await volumes.remove(copy);
    assert.ok((await volumes.list({ removed: true })).some(({ slug }) => slug === copy));
    assert.equal((await volumes.restore(copy)).slug, copy);
    await volumes.remove(copy);
    await volumes.remove(data);
    assert.deepEqual(await volumes.list({ search: word }), []);
  });

  test("what there is not is not found, in the same words", async () => {
    const { volumes, snapshots, images } = place().runtime;
    await assert.rejects(volumes.get("nothing-here"), { code: "volume_not_found" });
    await assert.rejects(snapshots.get("nothing-here"), { code: "snapshot_not_found" });
    await assert.rejects(images.get("nothing-here"), { code: "image_not_found" });
    assert.ok((await images.list()).some(({ isDefault }) => isDefault));
  });
}
