/** `sbx doctor` and `sbx prune` know volumes and snapshots. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { checkDisks } from "../../../src/runtime/local/checks/disks-check.ts";
import { prune } from "../../../src/runtime/local/prune.ts";
import { MiB, newDisks, openDisks } from "./disk-home.ts";

test("the check says how many there are, which are damaged, and what nobody knows", async (t) => {
  const home = await newDisks(t);
  const { layersPath, cataloguePath } = home.state.paths;
  assert.deepEqual(await checkDisks(home.context), { id: "disks", title: "Volumes", status: "info", found: "none" });
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.snapshot("data", "monday");
  await home.volumes.create({ slug: "other", capacityBytes: 16 * MiB });
  const whole = await checkDisks(home.context);
  assert.deepEqual([whole.status, whole.found], ["ok", "2 volumes, 1 snapshot: all whole"]);
  writeFileSync(path.join(layersPath, "lyr_loc_00000000000000000000.raw"), "");
  const unknown = await checkDisks(home.context);
  assert.deepEqual([unknown.status, unknown.fix], ["warning", `ls ${layersPath}`]);
  writeFileSync(`${cataloguePath}.damaged-1`, "");
  assert.match((await checkDisks(home.context)).found, /set aside at .*damaged-1$/);
  const lost = home.snapshotPath("monday");
  rmSync(lost);
  const damaged = await checkDisks(home.context);
  assert.deepEqual(
    [damaged.status, damaged.found, damaged.fix],
    ["failed", `volume data: ${lost} is missing; snapshot monday: ${lost} is missing`, "sbx volume inspect data"],
  );
});

test("the check looks at checkpoints: at their own files, and at the disk below", async (t) => {
  const home = await newDisks(t);
  const { disks } = home.state;
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.snapshot("data", "monday");
  const layer = disks.snapshots.listReady()[0]?.layer ?? "";
  const directory = path.join(home.state.paths.dataPath, "checkpoints", "chk_loc_1");
  mkdirSync(directory, { recursive: true });
  disks.change(() => {
    disks.checkpoints.begin({ id: "chk_loc_1", name: "warm", directory, spec: "{}" }, 1);
    disks.checkpoints.ready("chk_loc_1", layer, "{}");
  });
  const damaged = await checkDisks(home.context);
  assert.deepEqual([damaged.status, damaged.fix], ["failed", "sbx checkpoint inspect warm"]);
  assert.match(damaged.found, /^checkpoint warm: /);
});

test("prune removes what was removed only when asked to, and says what it would do before it does it", async (t) => {
  const home = await newDisks(t);
  mkdirSync(home.state.paths.templatesPath, { recursive: true });
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.create({ slug: "kept", capacityBytes: 16 * MiB });
  await home.volumes.remove("data");
  writeFileSync(`${home.state.paths.cataloguePath}.damaged-1`, "");
  const context = { state: home.state, images: home.context.images };
  const aside = { kind: "directory", id: "catalogue.json.damaged-1", bytes: 0 };
  assert.deepEqual(await prune(context, { dryRun: true }), { removed: [aside], failed: [] });
  const plan = await prune(context, { dryRun: true, volumes: true });
  assert.deepEqual(
    plan.removed.map(({ kind, id: name }) => [kind, name]),
    [
      ["directory", aside.id],
      ["volume", id],
    ],
  );
  assert.ok((plan.removed[1]?.bytes ?? 0) > 0);
  assert.equal(home.files().length, 2);
  assert.deepEqual(await prune(context, { volumes: true }), plan);
  assert.equal(home.files().length, 1);
  using next = await openDisks(home.path);
  assert.deepEqual(
    (await next.volumes.list()).map(({ slug }) => slug),
    ["kept"],
  );
});
