import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { openWorkshop, type WorkPlace } from "../../../src/vm/image/workshop.ts";
import { scratchDirectory } from "./scratch-directory.ts";

const PLACES: readonly WorkPlace[] = ["memory", "disk"];

const KILLED_BUILDER = `
import { openWorkshop } from ${JSON.stringify(new URL("../../../src/vm/image/workshop.ts", import.meta.url).href)};
const workshop = await openWorkshop({ diskPath: process.argv[1], place: "memory", visible: [process.argv[1]] });
await workshop.run(["sh", "-c", "echo started >&2; exec sleep 31415926"], { onLine: (line) => console.log(line) });
`;

for (const place of PLACES) {
  test(`files of every owner can be made in ${place}, and are gone when the workshop closes`, async (context) => {
    const diskPath = await scratchDirectory(context);
    const output = await (async () => {
      await using workshop = await openWorkshop({ diskPath, place, visible: [diskPath] });
      await workshop.writeFile(`${workshop.directory}/file`, "content");
      await workshop.run(["chown", "1000:42", `${workshop.directory}/file`]);
      return (await workshop.run(["stat", "-c", "%u:%g %a", `${workshop.directory}/file`])).toString();
    })();
    assert.equal(output, "1000:42 644\n");
    assert.deepEqual(await readdir(diskPath), []);
  });
}

test("root inside is the user outside, so what is written to the host belongs to the user", async (context) => {
  const diskPath = await scratchDirectory(context);
  const target = path.join(diskPath, "made inside");
  await using workshop = await openWorkshop({ diskPath, place: "memory", visible: [diskPath] });
  await workshop.run(["cp", "/etc/hostname", target]);
  assert.equal((await stat(target)).uid, process.getuid?.());
});

test("what is mounted inside is not seen outside", async (context) => {
  const diskPath = await scratchDirectory(context);
  await using workshop = await openWorkshop({ diskPath, place: "memory", visible: [diskPath] });
  await workshop.writeFile(`${workshop.directory}/only-inside`, "");
  assert.ok(!existsSync(`${workshop.directory}/only-inside`));
});

test("the work is not mounted over a path that must stay visible", async (context) => {
  const diskPath = await scratchDirectory(context);
  await using workshop = await openWorkshop({ diskPath, place: "memory", visible: [diskPath, "/mnt/data/sbx"] });
  assert.notEqual(workshop.directory, "/mnt");
});

test("nothing goes on when the builder is killed", async (context) => {
  const diskPath = await scratchDirectory(context);
  const builder = spawn(process.execPath, ["--input-type=module", "-e", KILLED_BUILDER, diskPath], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  context.after(() => builder.kill("SIGKILL"));
  await once(builder.stdout, "data");
  while ((await processesRunning("31415926")).length === 0) await delay(20);
  builder.kill("SIGKILL");
  while ((await processesRunning("31415926")).length > 0) await delay(20);
  assert.deepEqual(await readdir(diskPath), []);
});

test("a program inside that fails is named, not the tool that led there", async (context) => {
  const diskPath = await scratchDirectory(context);
  await using workshop = await openWorkshop({ diskPath, place: "memory", visible: [diskPath] });
  await assert.rejects(workshop.run(["false"]), { message: "false ended with status 1" });
});

test("files made in a workshop do not depend on the user's umask", async (context) => {
  const diskPath = await scratchDirectory(context);
  const before = process.umask(0o077);
  context.after(() => process.umask(before));
  await using workshop = await openWorkshop({ diskPath, place: "memory", visible: [diskPath] });
  await workshop.run(["mkdir", `${workshop.directory}/d`]);
  assert.equal((await workshop.run(["stat", "-c", "%a", `${workshop.directory}/d`])).toString(), "755\n");
});

test("closing twice is as good as once", async (context) => {
  const diskPath = path.join(await scratchDirectory(context), "work");
  await mkdir(diskPath);
  await writeFile(path.join(diskPath, "left"), "");
  const workshop = await openWorkshop({ diskPath, place: "disk", visible: [diskPath] });
  await workshop[Symbol.asyncDispose]();
  await workshop[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(diskPath), []);
});

/** Pids of processes that have the word among their arguments. */
async function processesRunning(word: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
      return text.split("\0").includes(word);
    }),
  );
  return pids.filter((_, index) => found[index] === true);
}
