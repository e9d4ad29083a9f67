/**
 * The server behind a mounted directory against a kernel that means harm: nothing outside is read, written, made,
 * renamed, linked or removed, whatever is asked for and whatever the host's directory turns into meanwhile.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { OP, SET } from "../../../src/folders/fuse-protocol.ts";
import { findIdentity } from "../../../src/folders/host-tree.ts";
import { GuestKernel, OWNER, ROOT, setattr, text, u32, u64 } from "./guest-kernel.ts";

let base = "";
let host = "";
const outside = (...names: string[]): string => path.join(base, "outside", ...names);
const at = (...names: string[]): string => path.join(host, ...names);

beforeEach(() => {
  base = mkdtempSync(path.join(tmpdir(), "sbx-confined-"));
  host = path.join(base, "shared");
  mkdirSync(path.join(host, "dir"), { recursive: true });
  mkdirSync(outside("dir"), { recursive: true });
  writeFileSync(outside("secret"), "secret");
  writeFileSync(outside("dir", "file"), "outside");
  writeFileSync(at("dir", "file"), "inside");
  writeFileSync(at("file"), "inside");
  symlinkSync("../outside", at("link"));
  symlinkSync("../outside/secret", at("file-link"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

/** Everything outside: names, modes, times and contents. */
function fingerprint(): string {
  const lines: string[] = [];
  for (const name of readdirSync(path.join(base, "outside"), { recursive: true }).map(String).sort()) {
    const file = outside(name);
    const { mode, size, nlink, mtimeMs } = lstatSync(file);
    const isFile = lstatSync(file).isFile();
    lines.push(
      `${name} ${mode.toString(8)} ${size} ${isFile ? nlink : 0} ${mtimeMs} ${isFile ? readFileSync(file, "latin1") : ""}`,
    );
  }
  return lines.join("\n");
}

const BAD_NAMES = ["..", ".", "", "../outside", "dir/file", "/etc/passwd", "dir/../../outside/secret", "/"];

test("names with a slash, `.`, `..` and nothing are refused by every request that takes one", async () => {
  using kernel = new GuestKernel(host);
  const before = fingerprint();
  const { nodeId: file } = await kernel.lookup(ROOT, "file");
  for (const name of BAD_NAMES) {
    const attempts: [number, ...Buffer[]][] = [
      [OP.lookup, text(name)],
      [OP.create, u32(0o102, 0o100644, 0, 0), text(name)],
      [OP.mknod, u32(0o100644, 0, 0, 0), text(name)],
      [OP.mkdir, u32(0o755, 0), text(name)],
      [OP.symlink, text(name, "target")],
      [OP.link, u64(file), text(name)],
      [OP.unlink, text(name)],
      [OP.rmdir, text(name)],
      [OP.rename, u64(ROOT), text("file", name)],
      [OP.rename, u64(ROOT), text(name, "stolen")],
      [OP.rename2, u64(ROOT), u32(0, 0), text("file", name)],
    ];
    for (const [opcode, ...fields] of attempts) {
      assert.equal(await kernel.errorOf(opcode, ROOT, ...fields), "EINVAL", `opcode ${opcode} with '${name}'`);
    }
  }
  assert.equal(await kernel.errorOf(OP.lookup, ROOT, Buffer.from("no end")), "EINVAL");
  assert.equal(await kernel.errorOf(OP.lookup, ROOT, text("x".repeat(256))), "ENAMETOOLONG");
  assert.equal(fingerprint(), before);
  assert.deepEqual(readdirSync(host).sort(), ["dir", "file", "file-link", "link"]);
});

test("nothing is done to or through a symbolic link that leads out of the folder", async () => {
  using kernel = new GuestKernel(host);
  const before = fingerprint();
  const link = await kernel.lookup(ROOT, "link");
  const fileLink = await kernel.lookup(ROOT, "file-link");
  for (const { nodeId } of [link, fileLink]) {
    assert.ok((await kernel.errorOf(OP.lookup, nodeId, text("secret"))) !== null);
    assert.ok((await kernel.errorOf(OP.opendir, nodeId, u32(0, 0))) !== null);
    assert.ok((await kernel.errorOf(OP.create, nodeId, u32(0o102, 0o644, 0, 0), text("new"))) !== null);
    assert.ok((await kernel.errorOf(OP.mkdir, nodeId, u32(0o755, 0), text("new"))) !== null);
    assert.ok((await kernel.errorOf(OP.unlink, nodeId, text("secret"))) !== null);
    assert.ok((await kernel.errorOf(OP.rename, nodeId, u64(ROOT), text("secret", "mine"))) !== null);
    for (const flags of [0, 1, 2, 0o1001]) assert.equal(await kernel.errorOf(OP.open, nodeId, u32(flags, 0)), "EACCES");
    assert.ok((await kernel.errorOf(OP.setattr, nodeId, ...setattr({ valid: SET.mode, mode: 0o777 }))) !== null);
    assert.ok((await kernel.errorOf(OP.setattr, nodeId, ...setattr({ valid: SET.size, size: 0 }))) !== null);
    // Its own time, not that of what it leads to.
    await kernel.send(OP.setattr, nodeId, ...setattr({ valid: SET.mtime, mtime: 1 }));
  }
  // A hard link to a symbolic link is one more name of the link.
  await kernel.must(OP.link, ROOT, u64(fileLink.nodeId), text("again"));
  assert.ok(lstatSync(at("again")).isSymbolicLink());
  const flags = u32(0o101, 0o100644, 0, 0);
  assert.equal(await kernel.errorOf(OP.create, ROOT, flags, text("file-link")), "EACCES");
  assert.equal(fingerprint(), before);
});

test("a directory that became a link between two requests is stale; what is asked of it does not happen outside", async () => {
  using kernel = new GuestKernel(host);
  const { nodeId: dir } = await kernel.lookup(ROOT, "dir");
  const { nodeId: file } = await kernel.lookup(dir, "file");
  const before = fingerprint();
  // Once with the directory still open in the server, once reached anew by its name.
  for (const isFresh of [false, true]) {
    if (isFresh) renameSync(at("dir"), path.join(base, "elsewhere"));
    else renameSync(at("dir"), at("moved"));
    symlinkSync("../outside/dir", at("dir"));
    const wanted = isFresh ? "ESTALE" : "inside";
    const opened = await kernel.send(OP.open, file, u32(2, 0));
    if (opened?.error === null) {
      const handle = Number(opened.body.readBigUInt64LE(0));
      assert.equal((await kernel.read(handle, 0, 100)).toString(), wanted);
      await kernel.release(handle);
    } else assert.equal(opened?.error, wanted);
    for (const [opcode, ...fields] of [
      [OP.create, u32(0o102, 0o644, 0, 0), text("new")],
      [OP.unlink, text("new")],
      [OP.symlink, text("sym", "x")],
      [OP.unlink, text("sym")],
    ] as const) {
      const error = await kernel.errorOf(opcode, dir, ...fields);
      assert.equal(error, isFresh ? "ESTALE" : null);
    }
    rmSync(at("dir"));
    if (!isFresh) renameSync(at("moved"), at("dir"));
  }
  assert.equal(fingerprint(), before);
});

test("a directory that was moved out of the folder can no longer be reached, although it is still open", async () => {
  using kernel = new GuestKernel(host);
  mkdirSync(at("dir", "deep"));
  const { nodeId: dir } = await kernel.lookup(ROOT, "dir");
  const { nodeId: deep } = await kernel.lookup(dir, "deep");
  await kernel.must(OP.mkdir, deep, u32(0o755, 0), text("open"));
  renameSync(at("dir"), outside("taken"));
  const before = fingerprint();
  for (const node of [dir, deep]) {
    assert.equal(await kernel.errorOf(OP.lookup, node, text("file")), "ESTALE");
    assert.equal(await kernel.errorOf(OP.create, node, u32(0o102, 0o644, 0, 0), text("new")), "ESTALE");
    assert.equal(await kernel.errorOf(OP.opendir, node, u32(0, 0)), "ESTALE");
    assert.equal(await kernel.errorOf(OP.setattr, node, ...setattr({ valid: SET.mode, mode: 0o777 })), "ESTALE");
    assert.equal(await kernel.errorOf(OP.rename, node, u64(ROOT), text("file", "back")), "ESTALE");
  }
  assert.equal(fingerprint(), before);
});

test("what took the folder's place after its path was checked is not served, at its end or on the way", () => {
  assert.throws(() => new GuestKernel(at("link", "dir")), { code: "ELOOP" });
  renameSync(at("dir"), at("moved"));
  symlinkSync("../outside/dir", at("dir"));
  assert.throws(() => new GuestKernel(at("dir")), { code: "ELOOP" });
});

test("a folder that was renamed as a whole goes on being served", async () => {
  using kernel = new GuestKernel(host);
  const { nodeId: dir } = await kernel.lookup(ROOT, "dir");
  renameSync(host, path.join(base, "renamed"));
  assert.notEqual((await kernel.lookup(dir, "file")).nodeId, 0);
  host = path.join(base, "renamed");
});

test("pipes, sockets and devices are neither opened nor made; they can be seen and removed", async () => {
  using kernel = new GuestKernel(host);
  execFileSync("mkfifo", [at("pipe")]);
  const { nodeId, mode } = await kernel.lookup(ROOT, "pipe");
  assert.equal(mode & 0o170000, 0o010000);
  for (const flags of [0, 1, 2]) assert.equal(await kernel.errorOf(OP.open, nodeId, u32(flags, 0)), "EACCES");
  assert.equal(await kernel.errorOf(OP.setattr, nodeId, ...setattr({ valid: SET.size, size: 0 })), "EINVAL");
  for (const type of [0o010000, 0o020000, 0o060000, 0o140000, 0o120000, 0o040000]) {
    const fields = [u32(type | 0o666, 0x0103, 0, 0), text("node")];
    assert.equal(await kernel.errorOf(OP.mknod, ROOT, ...fields), "EPERM");
  }
  await kernel.must(OP.unlink, ROOT, text("pipe"));
  assert.deepEqual(readdirSync(host).sort(), ["dir", "file", "file-link", "link"]);
});

test("set-user-id and set-group-id bits are never put on anything, and go when a file is opened for writing", async () => {
  using kernel = new GuestKernel(host);
  const made = await kernel.create(ROOT, "made", { mode: 0o6755 });
  await kernel.must(OP.mkdir, ROOT, u32(0o6755, 0), text("made-dir"));
  await kernel.must(OP.mknod, ROOT, u32(0o106755, 0, 0, 0), text("made-node"));
  await kernel.must(OP.setattr, made.nodeId, ...setattr({ valid: SET.mode, mode: 0o6777 }));
  await kernel.must(
    OP.setattr,
    made.nodeId,
    ...setattr({ valid: SET.mode | SET.handle, handle: made.handle, mode: 0o6777 }),
  );
  for (const name of ["made", "made-dir", "made-node"]) assert.equal(statSync(at(name)).mode & 0o6000, 0, name);
  chmodSync(at("file"), 0o4755);
  const { nodeId } = await kernel.lookup(ROOT, "file");
  await kernel.open(nodeId, 0);
  assert.equal(statSync(at("file")).mode & 0o7777, 0o4755, "reading changes nothing");
  await kernel.open(nodeId, 1);
  assert.equal(statSync(at("file")).mode & 0o7777, 0o755);
});

test("a read-only folder refuses every change, whatever the guest's kernel thinks of its mount", async () => {
  using kernel = new GuestKernel(host, { readOnly: true });
  const before = execFileSync("ls", ["-laR", "--time-style=full-iso", host]).toString();
  const { nodeId: file } = await kernel.lookup(ROOT, "file");
  const handle = await kernel.open(file, 0);
  const attempts: [number, number, ...Buffer[]][] = [
    [OP.create, ROOT, u32(0o102, 0o100644, 0, 0), text("new")],
    [OP.create, ROOT, u32(0o102, 0o100644, 0, 0), text("file")],
    [OP.mknod, ROOT, u32(0o100644, 0, 0, 0), text("new")],
    [OP.mkdir, ROOT, u32(0o755, 0), text("new")],
    [OP.symlink, ROOT, text("new", "target")],
    [OP.link, ROOT, u64(file), text("new")],
    [OP.unlink, ROOT, text("file")],
    [OP.rmdir, ROOT, text("dir")],
    [OP.rename, ROOT, u64(ROOT), text("file", "new")],
    [OP.rename2, ROOT, u64(ROOT), u32(0, 0), text("file", "new")],
    [OP.setattr, file, ...setattr({ valid: SET.mode, mode: 0o777 })],
    [OP.setattr, file, ...setattr({ valid: SET.size, size: 0 })],
    [OP.setattr, file, ...setattr({ valid: SET.mtimeNow | SET.mtime })],
    [OP.setattr, file, ...setattr({ valid: SET.uid | SET.gid, ...OWNER })],
    [OP.write, 0, ...kernel.writeFields(handle, 0, Buffer.from("x"))],
    [OP.open, file, u32(1, 0)],
    [OP.open, file, u32(2, 0)],
    [OP.open, file, u32(0o1000, 0)],
  ];
  for (const [opcode, node, ...fields] of attempts) {
    assert.equal(await kernel.errorOf(opcode, node, ...fields), "EROFS", `opcode ${opcode}`);
  }
  assert.equal(execFileSync("ls", ["-laR", "--time-style=full-iso", host]).toString(), before);
});

test("a handle can only be used as it was opened, and only in its own folder", async () => {
  using kernel = new GuestKernel(host);
  using other = new GuestKernel(outside());
  const { nodeId } = await kernel.lookup(ROOT, "file");
  const readHandle = await kernel.open(nodeId, 0);
  const writeHandle = await kernel.open(nodeId, 1);
  assert.equal(await kernel.errorOf(OP.write, 0, ...kernel.writeFields(readHandle, 0, Buffer.from("x"))), "EBADF");
  const readFields = (handle: number) => [u64(handle, 0), u32(10, 0), u64(0), u32(0, 0)];
  assert.equal(await kernel.errorOf(OP.read, 0, ...readFields(writeHandle)), "EBADF");
  for (const handle of [readHandle, writeHandle, 0, 999, 2 ** 40]) {
    assert.equal(await other.errorOf(OP.read, 0, ...readFields(handle)), "EBADF");
  }
  const huge = [u64(readHandle, -1n), u32(10, 0), u64(0), u32(0, 0)];
  assert.equal(await kernel.errorOf(OP.read, 0, ...huge), "EINVAL");
  const long = [u64(readHandle, 0), u32(0xffff_ffff, 0), u64(0), u32(0, 0)];
  assert.equal(await kernel.errorOf(OP.read, 0, ...long), "EINVAL");
});

test("node ids that were never given, were forgotten or are absurd lead nowhere", async () => {
  using kernel = new GuestKernel(host);
  const { nodeId } = await kernel.lookup(ROOT, "dir");
  for (const bad of [0, 99, 2 ** 50]) {
    assert.equal(await kernel.errorOf(OP.lookup, bad, text("file")), "ESTALE", String(bad));
  }
  const packet = Buffer.from((await import("./guest-kernel.ts")).request(OP.lookup, 0, 7, text("file")));
  packet.fill(0xff, 16, 24);
  assert.equal((await kernel.sendRaw(packet))?.readInt32LE(4), -116);
  assert.equal(await kernel.send(OP.forget, nodeId, u64(1)), undefined);
  assert.equal(await kernel.errorOf(OP.lookup, nodeId, text("file")), "ESTALE");
  await kernel.send(OP.forget, ROOT, u64(-1n));
  assert.notEqual((await kernel.lookup(ROOT, "file")).nodeId, 0, "the root is never forgotten");
});

test("a directory that must not be shared is not, wherever it is met", async () => {
  mkdirSync(at("dir", "own"));
  writeFileSync(at("dir", "own", "database"), "x");
  const identity = findIdentity(at("dir", "own"));
  assert.ok(identity !== undefined);
  using kernel = new GuestKernel(host, { forbidden: new Set([identity]) });
  const { nodeId } = await kernel.lookup(ROOT, "dir");
  assert.equal(await kernel.errorOf(OP.lookup, nodeId, text("own")), "EACCES");
  assert.deepEqual((await kernel.list(nodeId, { plus: true })).sort(), [".", "..", "file"]);
  assert.equal(await kernel.errorOf(OP.rename, nodeId, u64(ROOT), text("own", "mine")), "EACCES");
  assert.equal(await kernel.errorOf(OP.rename, ROOT, u64(nodeId), text("file", "own")), "EACCES");
});

test("a hard link within the folder is made to the file itself and not to what its name has become", async () => {
  using kernel = new GuestKernel(host);
  const { nodeId } = await kernel.lookup(ROOT, "file");
  rmSync(at("file"));
  linkSync(outside("secret"), at("file"));
  assert.equal(await kernel.errorOf(OP.link, ROOT, u64(nodeId), text("mine")), "ESTALE");
  assert.equal(existsSync(at("mine")), false);
});

test("deeper than 512 steps there is nothing to be had, and nothing breaks", async () => {
  using kernel = new GuestKernel(host);
  let parent = ROOT;
  let error: string | null = null;
  for (let depth = 0; depth < 600 && error === null; depth++) {
    const answer = await kernel.send(OP.mkdir, parent, u32(0o755, 0), text("d"));
    error = answer?.error ?? null;
    if (answer?.error === null) parent = Number(answer.body.readBigUInt64LE(0));
  }
  assert.equal(error, "ENAMETOOLONG");
  assert.notEqual((await kernel.lookup(ROOT, "file")).nodeId, 0);
});
