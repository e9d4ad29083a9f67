import assert from "node:assert/strict";
import { chmod, mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/host/package-root.ts";
import { LocalImages } from "../../../src/runtime/local/images.ts";
import { hostChecks } from "../../../src/runtime/local/checks/host-checks.ts";
import { checkDisk, checkMemory, checkNode } from "../../../src/runtime/local/checks/host-machine.ts";
import { checkImage } from "../../../src/runtime/local/checks/image-check.ts";
import { checkAgent, checkDataDirectory, checkOnPath } from "../../../src/runtime/local/checks/installation.ts";
import { scratchDirectory } from "./scratch-directory.ts";
import { publishSmallImage } from "./small-image.ts";

const noUsers = async (): Promise<[]> => [];

test("every check says what it found, and every fault how to mend it", async (context) => {
  const dataPath = await scratchDirectory(context);
  const images = new LocalImages({ dataPath, usedBy: noUsers });
  const checks = await hostChecks({ dataPath, images, image: null });
  assert.equal(new Set(checks.map(({ id }) => id)).size, checks.length, "ids are unique");
  for (const check of checks) {
    assert.notEqual(check.found, "", check.id);
    const faulty = check.status === "warning" || check.status === "failed";
    assert.equal(check.fix !== undefined, faulty, check.id);
  }
});

test("a Node that is too old fails, this one does not", () => {
  assert.equal(checkNode("20.11.0").status, "failed");
  assert.equal(checkNode("24.0.0").status, "ok");
  assert.equal(checkNode().status, "ok");
});

test("little memory is worth a warning", () => {
  assert.deepEqual(checkMemory(1.5e9).status, "warning");
  assert.deepEqual(checkMemory(8e9), { id: "memory", title: "Memory", status: "ok", found: "8.0 GB available" });
});

test("disk space is looked at where the data will be, also before the directory is there", async (context) => {
  const check = await checkDisk(path.join(await scratchDirectory(context), "not/yet"));
  assert.match(check.found, /GB free for .*not\/yet$/);
});

test("the first sbx on PATH is judged: none, this one, or another one", async (context) => {
  const directory = await scratchDirectory(context);
  const [own, other] = [path.join(directory, "own"), path.join(directory, "other")];
  await mkdir(own);
  await mkdir(other);
  await symlink(path.join(packageRoot(), "bin", "run.js"), path.join(own, "sbx"));
  await writeFile(path.join(other, "sbx"), "#!/bin/sh\n", { mode: 0o755 });
  assert.equal((await checkOnPath("/nonexistent")).status, "info");
  assert.equal((await checkOnPath(`${own}:${other}`)).status, "ok");
  assert.equal((await checkOnPath(`${other}:${own}`)).status, "warning");
});

test("a guest agent that is missing or empty fails", async (context) => {
  const file = path.join(await scratchDirectory(context), "agent");
  assert.equal((await checkAgent(file)).status, "failed");
  await writeFile(file, "");
  assert.equal((await checkAgent(file)).status, "failed");
  await writeFile(file, "x");
  assert.equal((await checkAgent(file)).status, "ok");
});

test("a data directory that others can read is worth a warning", async (context) => {
  const directory = await scratchDirectory(context);
  assert.equal((await checkDataDirectory(directory)).status, "ok");
  await chmod(directory, 0o755);
  const check = await checkDataDirectory(directory);
  assert.deepEqual([check.status, check.fix], ["warning", `chmod 700 ${JSON.stringify(directory)}`]);
  assert.equal((await checkDataDirectory(path.join(directory, "none"))).status, "info");
});

test("a missing image is built by the first sandbox, a damaged one must be mended", async (context) => {
  const images = new LocalImages({ dataPath: await scratchDirectory(context), usedBy: noUsers });
  assert.deepEqual(await checkImage(images, null), {
    id: "image",
    title: "Image",
    status: "warning",
    found: "the default image is not built yet",
    fix: "sbx setup",
  });
  const id = await publishSmallImage(images.store);
  await images.store.setName("default", id);
  assert.equal((await checkImage(images, null)).status, "ok");
  assert.match((await checkImage(images, null, { verify: true })).found, /every byte checked$/);
  await truncate(path.join(images.store.imagesPath, id, "root.ext4"), 0);
  const check = await checkImage(images, null);
  assert.deepEqual([check.status, check.fix], ["failed", "sbx setup --force"]);
  assert.equal((await checkImage(images, "data")).status, "failed");
});
