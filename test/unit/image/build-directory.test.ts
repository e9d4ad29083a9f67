import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { identifyProcess } from "../../../src/host/process-identity.ts";
import { makeBuildDirectory, removeStaleBuilds } from "../../../src/vm/image/build-directory.ts";
import { scratchDirectory } from "./scratch-directory.ts";

const RANDOM = "0123456789ab";

test("what a dead builder left is removed, what a living one works on stays", async (context) => {
  const images = await scratchDirectory(context);
  const own = await makeBuildDirectory(images);
  const child = spawn("sleep", ["1000"]);
  const identity = identifyProcess(child.pid ?? 0);
  assert.ok(identity !== null);
  const other = path.join(images, `.build-${identity.pid}-${identity.startTicks}-${RANDOM}`);
  await mkdir(path.join(other, "deep/er"), { recursive: true });
  assert.deepEqual(await removeStaleBuilds(images), []);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual(await removeStaleBuilds(images), [other]);
  assert.deepEqual(await readdir(images), [path.basename(own)]);
});

test("a process that has a dead builder's number is not taken for it", async (context) => {
  const images = await scratchDirectory(context);
  const directory = path.join(images, `.build-${process.pid}-1-${RANDOM}`);
  await mkdir(directory);
  assert.deepEqual(await removeStaleBuilds(images), [directory]);
});

test("an interrupted removal is finished; images, names and foreign files stay", async (context) => {
  const images = await scratchDirectory(context);
  const id = "a".repeat(64);
  await mkdir(path.join(images, ".trash-000000000000", "x"), { recursive: true });
  await mkdir(path.join(images, id));
  await mkdir(path.join(images, "names"));
  await writeFile(path.join(images, "names", "default"), id);
  await writeFile(path.join(images, "names", `default.4194304.${RANDOM}.tmp`), id);
  await writeFile(path.join(images, id, `initrd.cpio.4194304.${RANDOM}.tmp`), "");
  await writeFile(path.join(images, ".build-notes"), "mine");
  assert.equal((await removeStaleBuilds(images, true)).length, 3);
  assert.equal((await removeStaleBuilds(images)).length, 3);
  assert.deepEqual((await readdir(images)).sort(), [".build-notes", id, "names"]);
  assert.deepEqual(await readdir(path.join(images, "names")), ["default"]);
  assert.deepEqual(await readdir(path.join(images, id)), []);
});

test("a data directory that is not there has nothing stale", async (context) => {
  assert.deepEqual(await removeStaleBuilds(path.join(await scratchDirectory(context), "none")), []);
});
