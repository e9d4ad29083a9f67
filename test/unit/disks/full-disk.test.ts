/** A full host disk is named as the reason, and nothing of what was begun stays once there is room. */
import { spawnSync } from "node:child_process";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { MiB, newDisks } from "./disk-home.ts";

/**
 * A small file system in memory, in a mount namespace that ends with the script. `fill` leaves some KiB free, and `free`
 * makes the room again.
 */
const SCRIPT = `
  mount -t tmpfs -o size=12m,mode=0700 small "$HOME_PATH" || exit 1
  step() { "$NODE" "$PROGRAM" "$HOME_PATH" "$EXPORTED" "$1"; }
  fill() { head -c 100m /dev/zero > "$HOME_PATH/filler" 2>/dev/null; truncate -s "-$1k" "$HOME_PATH/filler"; }
  free() { rm "$HOME_PATH/filler"; }
  step create; step import; step check
  fill 64; step "create another"; step snapshot; free; step check
  fill 160; step snapshot; free; step check
  fill 0; step "create another"; step remove; free; step check`;

interface Outcome {
  operation: string;
  code: string;
  message?: string;
}

test("on a full disk everything ends with disk_full, leaves nothing, and what was there stays whole", async (t) => {
  const elsewhere = await newDisks(t);
  await elsewhere.volumes.create({ slug: "big", capacityBytes: 64 * MiB });
  const handle = openSync(elsewhere.headPath("big"), "r+");
  writeSync(handle, randomBytes(30 * MiB), 0, 30 * MiB, 0);
  closeSync(handle);
  const exported = path.join(elsewhere.path, "exported");
  await elsewhere.volumes.export("big", { path: exported, overwrite: false });
  const namespaces = process.getuid?.() === 0 ? ["--mount"] : ["--user", "--map-root-user", "--mount"];
  const program = path.join(import.meta.dirname, "full-disk-steps.mjs");
  const variables = { HOME_PATH: temporaryDirectory(t), NODE: process.execPath, PROGRAM: program, EXPORTED: exported };
  const { stdout, stderr, status } = spawnSync("unshare", [...namespaces, "--", "sh", "-c", SCRIPT], {
    encoding: "utf8",
    env: { ...process.env, ...variables },
  });
  assert.equal(status, 0, stderr);
  const outcomes = stdout.trim().split("\n");
  assert.deepEqual(
    outcomes.map((line) => JSON.parse(line) as Outcome).map(({ operation, code }) => `${operation}: ${code}`),
    [
      ...["create: done", "import: disk_full", "check: done"],
      ...["create another: disk_full", "snapshot: disk_full", "check: done"],
      ...["snapshot: disk_full", "check: done"],
      ...["create another: disk_full", "remove: disk_full", "check: done"],
    ],
    stdout,
  );
});
