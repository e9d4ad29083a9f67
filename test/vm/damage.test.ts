/** Files that are not what sbx wrote, and a QEMU that is not what it should be: told or mended, never believed. */
import assert from "node:assert/strict";
import { appendFile, chmod, mkdir, open, readdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import { eventually, untilClean } from "./support/leftovers.ts";
import { writeFakeQemu } from "./support/fake-qemu.ts";
import { runHost } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];

const home = await openTestHome({ images: "own", templates: "none" });
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

async function imageFile(name: string): Promise<string> {
  const images = path.join(home.paths.dataPath, "images");
  const id = (await readdir(images)).find((entry) => /^[0-9a-f]{64}$/.test(entry));
  assert.ok(id !== undefined);
  return path.join(images, id, name);
}

async function templateFile(name: string): Promise<string> {
  const [key] = (await readdir(home.paths.templatesPath)).filter((entry) => !entry.startsWith("."));
  assert.ok(key !== undefined, "there is a template");
  return path.join(home.paths.templatesPath, key, name);
}

async function garble(file: string, at: number): Promise<void> {
  await using handle = await open(file, "r+");
  await handle.write(Buffer.alloc(4096, 0xa5), 0, 4096, at);
}

async function works(): Promise<void> {
  assert.equal(await home.must(["run", ...SMALL, "--", "echo", "works"]), "works");
  await untilClean(home);
}

test("a template whose memory, state, disk or record was changed is made anew", async () => {
  await works();
  const damages: [string, (file: string) => Promise<void>][] = [
    ["memory", async (file) => garble(file, 32 * 1024 ** 2)],
    ["state", async (file) => truncate(file, 100)],
    ["disk.qcow2", async (file) => garble(file, 0)],
    ["template.json", async (file) => writeFile(file, '{"schema":1,')],
  ];
  for (const [name, damage] of damages) {
    await damage(await templateFile(name));
    await works();
  }
});

test("a template that lies about itself does not start, and is made anew", async () => {
  await works();
  // The record agrees with the files, but the state is not that of this machine: only QEMU notices.
  const script = `
    import { describeTemplate, templatePaths } from ${JSON.stringify(path.resolve(import.meta.dirname, "../../src/vm/template.ts"))};
    import { readFileSync, writeFileSync } from "node:fs";
    const paths = templatePaths(process.argv[1]);
    const old = JSON.parse(readFileSync(paths.recordPath, "utf8"));
    const state = readFileSync(paths.statePath);
    state.fill(0xa5, state.length >> 1);
    writeFileSync(paths.statePath, state);
    const { key, imageId, accelerator } = old;
    writeFileSync(paths.recordPath, JSON.stringify(await describeTemplate(paths, { key, imageId, accelerator })));`;
  const directory = path.dirname(await templateFile("state"));
  const changed = await runHost([process.execPath, "--input-type=module", "-e", script, directory]);
  assert.equal(changed.status, 0, changed.stderr);
  await works();
});

test("an image that is truncated, changed in its manifest or missing a file is named, with what to do", async () => {
  await works();
  const cases: [string, (file: string) => Promise<void>][] = [
    ["root.ext4", async (file) => truncate(file, 4096)],
    ["vmlinuz", async (file) => rm(file)],
    ["manifest.json", async (file) => appendFile(file, " ")],
    ["manifest.json", async (file) => writeFile(file, "{")],
  ];
  for (const [name, damage] of cases) {
    const file = await imageFile(name);
    await rename(file, `${file}.good`);
    await runHost(["cp", "--sparse=always", `${file}.good`, file]);
    await damage(file);
    const outcome = await home.sbx(["create", "--detach", ...SMALL]);
    await rm(file, { force: true });
    await rename(`${file}.good`, file);
    assert.equal(outcome.status, 125, outcome.stdout);
    assert.match(outcome.stderr, /image \S+ is /);
    assert.match(outcome.stderr, /try: sbx /);
    await untilClean(home);
  }
  await works();
});

test("a root file system that was garbled in place is found by doctor or does not start quietly", async () => {
  const file = await imageFile("root.ext4");
  await rename(file, `${file}.good`);
  await runHost(["cp", "--sparse=always", `${file}.good`, file]);
  await garble(file, 0);
  await garble(file, 1024);
  await rm(home.paths.templatesPath, { recursive: true });
  const outcome = await home.sbx(["create", "--detach", ...SMALL]);
  await rm(file);
  await rename(`${file}.good`, file);
  assert.equal(outcome.status, 125);
  assert.match(outcome.stderr, /^sbx: /m);
  assert.doesNotMatch(outcome.stderr, /\n\s+at /);
  await untilClean(home);
  await works();
});

test("a damaged state database is set aside, and the sandboxes that run are found again", async () => {
  const id = await home.create("--name", "kept", "--timeout", "10m", ...SMALL);
  await home.bash(id, "echo content > file");
  for (const damage of [
    async (file: string) =>
      writeFile(file, "this is no database at all, and longer than its header would be ".repeat(100)),
    async (file: string) => truncate(file, 5000),
    async (file: string) => garble(file, 4096),
    async (file: string) => truncate(file, 0),
    async (file: string) => rm(file),
  ]) {
    for (const suffix of ["-wal", "-shm"]) await rm(home.paths.databasePath + suffix, { force: true });
    await damage(home.paths.databasePath);
    assert.equal(await home.must(["exec", "kept", "--", "cat", "file"]), "content");
    const info = await home.info(id);
    assert.deepEqual([info.status, info.name], ["running", "kept"]);
  }
  await home.must(["kill", "kept"]);
  await untilClean(home);
});

test("a state database of a later sbx is refused and left alone", async () => {
  const other = await openTestHome({ verdict: "none" });
  try {
    await other.must(["list"]);
    await runHost([
      "python3",
      "-c",
      `import sqlite3;c=sqlite3.connect(${JSON.stringify(other.paths.databasePath)});c.execute('pragma user_version=99');c.commit()`,
    ]);
    const outcome = await other.sbx(["list"]);
    assert.notEqual(outcome.status, 0);
    assert.match(outcome.stderr, /newer sbx \(schema 99/);
  } finally {
    await other[Symbol.asyncDispose]();
  }
});

test("a garbled verdict on the accelerator is found again, and a garbled failure record does no harm", async () => {
  await writeFile(home.paths.verdictPath, '{"host": 7');
  await works();
  const id = await home.create(...SMALL);
  await mkdir(path.join(home.paths.sandboxesPath, "sbx_loc_00000000000000000000"), { recursive: true });
  await writeFile(path.join(home.paths.sandboxesPath, "sbx_loc_00000000000000000000", "failure.json"), "\u0000\u0000{");
  await writeFile(path.join(home.paths.sandboxesPath, id, "failure.json"), "nonsense");
  assert.equal((await home.info(id)).status, "running");
  await home.must(["prune", "--yes"]);
  await home.must(["kill", id]);
  await untilClean(home);
});

test("without QEMU the error names the package, and doctor fails with the fix", async () => {
  const tools = home.scratch("path-without-qemu");
  await mkdir(tools);
  await symlink(process.execPath, path.join(tools, "node"));
  const env = { PATH: tools };
  const outcome = await home.sbx(["create", "--detach"], { env });
  assert.equal(outcome.status, 125);
  assert.match(outcome.stderr, /QEMU \(qemu-system-\S+\) was not found on PATH/);
  assert.match(outcome.stderr, /apt-get install qemu-system/);
  const doctor = await home.sbx(["doctor"], { env });
  assert.equal(doctor.status, 1);
  assert.match(doctor.stdout, /QEMU/);
  const gone = await home.sbx(["create", "--detach"], { env: { SBX_QEMU: "/no/such/qemu" } });
  assert.equal(gone.status, 125);
  assert.match(gone.stderr, /\/no\/such\/qemu/);
  await untilClean(home);
});

test("a QEMU that ends at once is reported with its last words, and nothing is left", async () => {
  await works();
  const qemu = await writeFakeQemu(home.scratch("qemu-ends"), "echo 'fake: cannot allocate a machine' >&2; exit 3");
  await chmod(home.scratch("."), 0o755);
  const outcome = await home.sbx(["create", "--detach", ...SMALL], { env: { SBX_QEMU: qemu } });
  assert.equal(outcome.status, 125);
  assert.match(outcome.stderr, /cannot allocate a machine/);
  await untilClean(home);
});

test("a QEMU that never comes up can be interrupted, and nothing is left", async () => {
  await works();
  const qemu = await writeFakeQemu(home.scratch("qemu-hangs"), "exec sleep 10000");
  const child = home.start(["create", "--detach", ...SMALL], { env: { SBX_QEMU: qemu } });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await eventually(async () => assert.equal((await home.list())[0]?.status, "creating"));
  child.kill("SIGINT");
  assert.equal(await ended, 130, stderr);
  await untilClean(home);
});

test("KVM that is present and unusable is found out by booting: the verdict says so and emulation is used", async () => {
  const qemu = await writeFakeQemu(
    home.scratch("qemu-kvm-fails"),
    'case " $* " in *" -accel kvm "*) echo "fake: KVM gives no guest" >&2; exit 1;; esac\nexec $QEMU "$@"',
  );
  await rm(home.paths.verdictPath, { force: true });
  const env = { SBX_QEMU: qemu };
  assert.equal(await home.must(["run", ...SMALL, "--", "echo", "works"], { env }), "works");
  const line =
    (await home.sbx(["doctor"], { env })).stdout.split("\n").find((text) => text.includes("Accelerator")) ?? "";
  assert.match(line, /tcg: .*KVM.*; emulation \(TCG\) works/i);
  const insisted = await home.sbx(["run", ...SMALL, "--", "true"], { env: { ...env, SBX_ACCEL: "kvm" } });
  assert.equal(insisted.status, 125);
  assert.match(insisted.stderr, /KVM was asked for/);
  await untilClean(home);
});
