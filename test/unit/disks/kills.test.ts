/**
 * Whatever is done with disks, killed between any two of its steps: the next command finds it done or not begun, nothing
 * of it stays behind, and what other disks hold is as it was.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import {
  closeSync,
  cpSync,
  createReadStream,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { tmpdir } from "node:os";
import { after, test, type TestContext } from "node:test";
import { templatePaths } from "../../../src/vm/template.ts";
import { emptyQcow2 } from "../../../src/runtime/local/disks/empty-qcow2.ts";
import { publishSmallImage } from "../image/small-image.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { inconsistencies, MiB, openDisks, type DiskHome } from "./disk-home.ts";

const PROGRAM = path.join(import.meta.dirname, "killed-step.mjs");
const COMPILE_CACHE = path.join(tmpdir(), `sbx-unit-compile-${process.pid}`);
after(() => rmSync(COMPILE_CACHE, { recursive: true, force: true }));

/** More than any operation has. */
const MAX_STEPS = 40;

const OPERATIONS = [
  "create",
  "create from a snapshot",
  "snapshot",
  "snapshot of a sandbox",
  "grow",
  "import of a volume",
  "import of a snapshot",
  "remove",
  "remove a snapshot",
] as const;

/** A home with a volume that holds something, a snapshot of another, an exported file, and a sandbox with a door. */
async function prepare(home: string): Promise<void> {
  using disks = await openDisks(home);
  await disks.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  write(disks.headPath("data"), "kept");
  await disks.volumes.create({ slug: "other", capacityBytes: 16 * MiB });
  await disks.volumes.snapshot("other", "base");
  await disks.volumes.export("data", { path: path.join(home, "exported"), overwrite: false });
}

function write(file: string, text: string): void {
  const handle = openSync(file, "r+");
  writeSync(handle, text, 8 * MiB);
  closeSync(handle);
}

/** A sandbox of this process that runs from a template, and whose supervisor says yes to every switch. */
async function giveSandbox(t: TestContext, disks: DiskHome): Promise<void> {
  const directory = path.join(disks.path, "box");
  const socket = path.join(temporaryDirectory(t), "s");
  const { paths } = disks.state;
  const { head, fileBytes } = emptyQcow2(16 * MiB, "raw");
  const layer = Buffer.concat([head, Buffer.alloc(fileBytes - head.length)]);
  mkdirSync(directory);
  writeFileSync(path.join(directory, "disk.qcow2"), layer);
  mkdirSync(path.join(paths.templatesPath, "key"));
  writeFileSync(templatePaths(path.join(paths.templatesPath, "key")).diskPath, layer);
  const imageId = await publishSmallImage(disks.context.images.store);
  const spec = { imageId, templateKey: "key", diskBytes: 16 * MiB };
  const sample = { name: "box", directory, socket };
  disks.sandbox({ ...sample, spec: { ...sampleSandbox().spec, ...spec } });
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end(JSON.stringify({ isClean: true, pausedMs: 1 })));
  });
  server.listen(socket);
  await once(server, "listening");
  t.after(() => server.close());
}

async function runKilled(home: string, operation: string, step: number): Promise<boolean> {
  const child = spawn(process.execPath, [PROGRAM, home, operation, String(step)], {
    stdio: ["ignore", "ignore", "pipe"],
    // Most of the time goes into compiling the same sources.
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE },
  });
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    words += text;
  });
  const [status, signal] = (await once(child, "close")) as [number | null, string | null];
  assert.ok(status === 0 || signal === "SIGKILL", words);
  return signal === "SIGKILL";
}

for (const operation of OPERATIONS) {
  test(`${operation}: killed at any step, the next command finds all or nothing of it`, async (t) => {
    const prepared = temporaryDirectory(t);
    await prepare(prepared);
    for (let step = 1; ; step++) {
      const home = temporaryDirectory(t);
      cpSync(prepared, home, { recursive: true, preserveTimestamps: true });
      using before = await openDisks(home);
      if (operation === "snapshot of a sandbox") await giveSandbox(t, before);
      const died = await runKilled(home, operation, step);
      using disks = await openDisks(home);
      assert.deepEqual(await inconsistencies(disks), [], `${operation}, step ${step}`);
      await checkContents(disks);
      if (!died) {
        assert.ok(step > 1, "nobody was killed");
        break;
      }
      assert.ok(step < MAX_STEPS);
    }
  });
}

/** What was written is still there, wherever the operation has put it; and everything can be used. */
async function checkContents(disks: DiskHome): Promise<void> {
  const [data] = await disks.volumes.list({ search: "data" });
  if (data !== undefined) {
    assert.deepEqual(data.faults, []);
    const file = `${disks.path}/check`;
    await disks.volumes.export("data", { path: file, overwrite: true });
    await disks.volumes.import(createReadStream(file), { slug: "check" });
    assert.equal(
      readFileSync(disks.headPath("check"))
        .subarray(8 * MiB, 8 * MiB + 4)
        .toString(),
      "kept",
    );
  }
  for (const { slug } of await disks.snapshots.list()) {
    assert.deepEqual((await disks.snapshots.get(slug)).faults, [], slug);
  }
  // The name that was to be taken is free, or belongs to something whole.
  const made = [...(await disks.volumes.list()), ...(await disks.snapshots.list())].find(({ slug }) => slug === "made");
  if (made === undefined) await disks.volumes.create({ slug: "made", capacityBytes: 16 * MiB });
}
