/** The server behind a mounted directory, as a well-behaved kernel uses it. */
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  existsSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { OP, SET } from "../../../src/folders/fuse-protocol.ts";
import { GuestKernel, OWNER, ROOT, setattr, text, u32, u64 } from "./guest-kernel.ts";

let host = "";
const at = (...names: string[]): string => path.join(host, ...names);
beforeEach(() => {
  host = mkdtempSync(path.join(tmpdir(), "sbx-folder-"));
});
afterEach(() => rmSync(host, { recursive: true, force: true }));

test("INIT settles on 7.31 and takes only what is wanted of what is offered; an older kernel is refused", async () => {
  using kernel = new GuestKernel(host);
  const init = (major: number, minor: number) => kernel.send(OP.init, 0, u32(major, minor, 131_072, 0xffff_ffff));
  const answer = await init(7, 41);
  assert.equal(answer?.body.length, 64);
  assert.deepEqual([answer.body.readUInt32LE(0), answer.body.readUInt32LE(4)], [7, 31]);
  const flags = answer.body.readUInt32LE(12);
  assert.equal(flags & (1 << 16), 0, "no write-back cache: a write is on the host when it is answered");
  assert.equal(flags & (1 << 4), 0, "no lookups of `..`");
  assert.equal((await init(7, 12))?.error, "EPROTO");
  assert.equal((await init(8, 0))?.error, "EPROTO");
});

test("what the guest writes is on the host when it is answered, and everything belongs to the sandbox's user", async () => {
  using kernel = new GuestKernel(host);
  const file = await kernel.create(ROOT, "new.txt", { mode: 0o640 });
  assert.equal(await kernel.write(file.handle, 0, "hello"), 5);
  assert.equal(readFileSync(at("new.txt"), "utf8"), "hello");
  assert.equal(statSync(at("new.txt")).mode & 0o7777, 0o640);
  const stats = await kernel.attributes(file.nodeId);
  assert.deepEqual({ size: stats.size, uid: stats.uid, gid: stats.gid }, { size: 5, ...OWNER });
  assert.equal((await kernel.read(file.handle, 1, 100)).toString(), "ello");
  await kernel.release(file.handle);
  assert.equal(await kernel.errorOf(OP.read, 0, u64(file.handle, 0), u32(10, 0), u64(0), u32(0, 0)), "EBADF");
});

test("a file that lost its name can still be read, written, measured and changed by who has it open", async () => {
  using kernel = new GuestKernel(host);
  const file = await kernel.create(ROOT, "gone");
  await kernel.write(file.handle, 0, "abc");
  await kernel.must(OP.unlink, ROOT, text("gone"));
  assert.equal(existsSync(at("gone")), false);
  await kernel.write(file.handle, 3, "def");
  assert.equal((await kernel.read(file.handle, 0, 10)).toString(), "abcdef");
  assert.equal((await kernel.attributes(file.nodeId)).size, 6);
  await kernel.must(OP.setattr, file.nodeId, ...setattr({ valid: SET.mode, mode: 0o600 }));
  assert.equal((await kernel.attributes(file.nodeId)).mode & 0o777, 0o600);
});

test("a rename replaces, and the renamed node is the same under its new name, also in another directory", async () => {
  using kernel = new GuestKernel(host);
  mkdirSync(at("sub"));
  writeFileSync(at("old"), "old");
  writeFileSync(at("sub", "target"), "target");
  const sub = await kernel.lookup(ROOT, "sub");
  const node = await kernel.lookup(ROOT, "old");
  await kernel.must(OP.rename, ROOT, u64(sub.nodeId), text("old", "target"));
  assert.equal(readFileSync(at("sub", "target"), "utf8"), "old");
  const handle = await kernel.open(node.nodeId);
  assert.equal((await kernel.read(handle, 0, 10)).toString(), "old");
  assert.equal((await kernel.lookup(sub.nodeId, "target")).nodeId, node.nodeId);
  assert.equal(await kernel.errorOf(OP.rename2, ROOT, u64(sub.nodeId), u32(2, 0), text("a", "b")), "EINVAL");
});

test("a directory that was renamed, by either side, is still the guest's working directory", async () => {
  using kernel = new GuestKernel(host);
  mkdirSync(at("a", "b"), { recursive: true });
  const a = await kernel.lookup(ROOT, "a");
  const b = await kernel.lookup(a.nodeId, "b");
  await kernel.must(OP.rename, ROOT, u64(ROOT), text("a", "c"));
  await kernel.create(b.nodeId, "file");
  assert.ok(existsSync(at("c", "b", "file")));
});

test("listings are whole whatever their pieces, with and without attributes, also with names that are not UTF-8", async () => {
  using kernel = new GuestKernel(host);
  const names = Array.from({ length: 500 }, (_, index) => `file-${index}-${"x".repeat(index % 90)}`);
  for (const name of names) writeFileSync(at(name), "");
  writeFileSync(Buffer.concat([Buffer.from(`${host}/`), Buffer.of(0xff, 0x41, 0xe9)]), "");
  const wanted = [...names, ".", "..", "\xff\x41\xe9"].sort();
  for (const plus of [false, true]) {
    for (const size of [300, 4096, 65_536]) {
      assert.deepEqual((await kernel.list(ROOT, { size, plus })).sort(), wanted, `pieces of ${size} bytes`);
    }
  }
  assert.notEqual((await kernel.lookup(ROOT, "\xff\x41\xe9")).nodeId, 0);
});

test("a symbolic link of the host is shown as one and read as text", async () => {
  using kernel = new GuestKernel(host);
  symlinkSync("/etc/passwd", at("link"));
  const link = await kernel.lookup(ROOT, "link");
  assert.equal(link.mode & 0o170000, 0o120000);
  assert.equal((await kernel.must(OP.readlink, link.nodeId)).toString(), "/etc/passwd");
  assert.equal(await kernel.errorOf(OP.open, link.nodeId, u32(0, 0)), "EACCES");
});

test("links and directories can be made, linked, filled and removed", async () => {
  using kernel = new GuestKernel(host);
  await kernel.must(OP.mkdir, ROOT, u32(0o755, 0o22), text("dir"));
  assert.equal(statSync(at("dir")).mode & 0o7777, 0o755);
  const dir = await kernel.lookup(ROOT, "dir");
  const file = await kernel.create(dir.nodeId, "one");
  await kernel.must(OP.symlink, dir.nodeId, text("sym", "one"));
  await kernel.must(OP.link, dir.nodeId, u64(file.nodeId), text("two"));
  assert.equal((await kernel.attributes(file.nodeId)).nlink, 2);
  assert.equal(await kernel.errorOf(OP.rmdir, ROOT, text("dir")), "ENOTEMPTY");
  for (const name of ["one", "two", "sym"]) await kernel.must(OP.unlink, dir.nodeId, text(name));
  await kernel.must(OP.rmdir, ROOT, text("dir"));
  assert.equal(existsSync(at("dir")), false);
});

test("sizes and times are changed as asked; the time that was not named stays", async () => {
  using kernel = new GuestKernel(host);
  writeFileSync(at("file"), "0123456789");
  const { nodeId } = await kernel.lookup(ROOT, "file");
  await kernel.must(OP.setattr, nodeId, ...setattr({ valid: SET.size, size: 4 }));
  assert.equal(readFileSync(at("file"), "utf8"), "0123");
  const before = statSync(at("file"), { bigint: true });
  await kernel.must(OP.setattr, nodeId, ...setattr({ valid: SET.mtime, mtime: 1_000_000_000, mtimeNs: 500_000_000 }));
  const after = statSync(at("file"), { bigint: true });
  assert.equal(after.mtimeNs, 1_000_000_000_500_000_000n);
  const lost = before.atimeNs - after.atimeNs;
  assert.ok(lost > -1000n && lost < 1000n, `no more than what a double loses, not ${lost} ns`);
});

test("changing the owner to the one it has is fine, to another one is refused", async () => {
  using kernel = new GuestKernel(host);
  writeFileSync(at("file"), "");
  const { nodeId } = await kernel.lookup(ROOT, "file");
  await kernel.must(OP.setattr, nodeId, ...setattr({ valid: SET.uid | SET.gid, ...OWNER }));
  assert.equal(await kernel.errorOf(OP.setattr, nodeId, ...setattr({ valid: SET.uid, uid: 0 })), "EPERM");
});

test("an empty name's answer may be kept, and a file that the host makes is found when it is asked for again", async () => {
  using kernel = new GuestKernel(host);
  assert.equal((await kernel.lookup(ROOT, "later")).nodeId, 0);
  writeFileSync(at("later"), "x");
  assert.equal((await kernel.lookup(ROOT, "later")).size, 1);
});

test("a file that the host replaced is another node, and the old one says that it is stale", async () => {
  using kernel = new GuestKernel(host);
  writeFileSync(at("file"), "old");
  const old = await kernel.lookup(ROOT, "file");
  writeFileSync(at("new"), "new");
  rmSync(at("file"));
  symlinkSync("new", at("file"));
  assert.equal(await kernel.errorOf(OP.open, old.nodeId, u32(0, 0)), "ESTALE");
  assert.equal(await kernel.errorOf(OP.getattr, old.nodeId, u32(0, 0), u64(0)), "ESTALE");
});

test("an unchanged file's pages stay in the guest's cache when it is opened again, a changed one's do not", async () => {
  using kernel = new GuestKernel(host);
  writeFileSync(at("file"), "one");
  const { nodeId } = await kernel.lookup(ROOT, "file");
  const flags = async (): Promise<number> => (await kernel.must(OP.open, nodeId, u32(0, 0))).readUInt32LE(8);
  assert.equal(await flags(), 0);
  assert.equal(await flags(), 2);
  writeFileSync(at("file"), "other");
  assert.equal(await flags(), 0);
});

test("files that run code on the host are remembered, however they got their names", async () => {
  using kernel = new GuestKernel(host);
  mkdirSync(at("prepared", "hooks"), { recursive: true });
  writeFileSync(at("prepared", "hooks", "pre-commit"), "x");
  writeFileSync(at("prepared", "config"), "x");
  const prepared = await kernel.lookup(ROOT, "prepared");
  await kernel.must(OP.rename, ROOT, u64(ROOT), text("prepared", ".git"));
  const hooks = await kernel.lookup(prepared.nodeId, "hooks");
  const hook = await kernel.lookup(hooks.nodeId, "pre-commit");
  await kernel.open(hook.nodeId, 0);
  await kernel.open(hook.nodeId, 1);
  const config = await kernel.lookup(prepared.nodeId, "config");
  await kernel.must(OP.setattr, config.nodeId, ...setattr({ valid: SET.size, size: 0 }));
  await kernel.must(OP.symlink, ROOT, text(".bashrc", "elsewhere"));
  await kernel.create(ROOT, "harmless");
  const { risks, moreRisks } = kernel.server.use();
  assert.deepEqual(
    risks.map(({ path: name }) => name),
    [".git", ".git/hooks/pre-commit", ".git/config", ".bashrc"],
  );
  assert.equal(moreRisks, 0);
  for (let index = 0; index < 120; index++) {
    await kernel.must(OP.mkdir, ROOT, u32(0o755, 0), text(`d${index}`));
    await kernel.create((await kernel.lookup(ROOT, `d${index}`)).nodeId, ".envrc");
  }
  assert.equal(kernel.server.use().risks.length, 100);
  assert.equal(kernel.server.use().moreRisks, 24);
});

test("fsync and statfs are answered; what the server has no use for is ENOSYS", async () => {
  using kernel = new GuestKernel(host);
  const file = await kernel.create(ROOT, "file");
  await kernel.must(OP.fsync, file.nodeId, u64(file.handle), u32(0, 0));
  await kernel.must(OP.fsync, file.nodeId, u64(file.handle), u32(1, 0));
  await kernel.must(OP.fsyncdir, ROOT, u64(0), u32(0, 0));
  assert.equal((await kernel.must(OP.statfs, ROOT)).length, 80);
  for (const opcode of [21, 22, 23, 24, 25, 31, 34, 36, 39, 40, 43, 46, 47, 4711]) {
    assert.equal(await kernel.errorOf(opcode, ROOT, Buffer.alloc(64)), "ENOSYS", `opcode ${opcode}`);
  }
});
