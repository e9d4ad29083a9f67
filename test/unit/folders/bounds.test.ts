/** What a guest can make a mounted directory's server hold, and make its host's disk hold. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs, { chmodSync, linkSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { syncBuiltinESMExports } from "node:module";
import { afterEach, beforeEach, mock, test } from "node:test";
import { OP, SET } from "../../../src/folders/fuse-protocol.ts";
import { NodeTable } from "../../../src/folders/node-table.ts";
import { HandleBudget } from "../../../src/folders/open-files.ts";
import { BrokenStream, RequestDecoder } from "../../../src/folders/request.ts";
import { GuestKernel, request, ROOT, setattr, text, u32, u64 } from "./guest-kernel.ts";

const MIB = 1024 ** 2;
let host = "";
const at = (name: string): string => path.join(host, name);
beforeEach(() => {
  host = mkdtempSync(path.join(tmpdir(), "sbx-bounds-"));
});
afterEach(() => rmSync(host, { recursive: true, force: true }));

const limited = (bytes: number, files = 100): { quota: { bytes: number; files: number } } => ({
  quota: { bytes, files },
});

/** Writes 64 KiB at a time until it fails. */
async function fill(kernel: GuestKernel, handle: number, from = 0): Promise<{ written: number; error: string | null }> {
  const block = Buffer.alloc(64 * 1024, 1);
  for (let offset = from; offset < from + 64 * MIB; offset += block.length) {
    const error = await kernel.errorOf(OP.write, 0, ...kernel.writeFields(handle, offset, block));
    if (error !== null) return { written: offset - from, error };
  }
  return { written: 64 * MIB, error: null };
}

test("growth ends at the quota with EDQUOT; what is there can be overwritten, and room that is given back can be used", async () => {
  using kernel = new GuestKernel(host, limited(4 * MIB));
  const file = await kernel.create(ROOT, "file");
  const first = await fill(kernel, file.handle);
  assert.equal(first.error, "EDQUOT");
  assert.ok(first.written > 3.5 * MIB && first.written <= 4 * MIB, String(first.written));
  assert.equal(await kernel.write(file.handle, 0, Buffer.alloc(1000)), 1000);
  await kernel.must(
    OP.setattr,
    file.nodeId,
    ...setattr({ valid: SET.size | SET.handle, handle: file.handle, size: 0 }),
  );
  assert.ok((await fill(kernel, file.handle)).written > 3.5 * MIB);
  await kernel.release(file.handle);
  await kernel.must(OP.unlink, ROOT, text("file"));
  assert.equal(kernel.server.use().usedBytes, 0);
  assert.equal(kernel.server.use().usedFiles, 0);
});

test("neither holes nor names that were removed nor links are a way around the quota", async () => {
  using kernel = new GuestKernel(host, limited(4 * MIB));
  const sparse = await kernel.create(ROOT, "sparse");
  await kernel.must(OP.setattr, sparse.nodeId, ...setattr({ valid: SET.size, size: 2 ** 40 }));
  const holes = await fill(kernel, sparse.handle, 2 ** 30);
  assert.equal(holes.error, "EDQUOT");
  // It is open: its room is not given back with its name.
  await kernel.must(OP.unlink, ROOT, text("sparse"));
  const next = await kernel.create(ROOT, "next");
  assert.ok((await fill(kernel, next.handle)).written < 0.6 * MIB);
  await kernel.release(sparse.handle);
  assert.ok((await fill(kernel, next.handle, 8 * MIB)).written > 2.5 * MIB);
  // It has another name: its room is not given back with the first.
  await kernel.must(OP.link, ROOT, u64(next.nodeId), text("other"));
  await kernel.release(next.handle);
  await kernel.must(OP.unlink, ROOT, text("next"));
  const last = await kernel.create(ROOT, "last");
  assert.ok((await fill(kernel, last.handle)).written < 0.6 * MIB);
});

test("the texts of links count as what is written does", async () => {
  using kernel = new GuestKernel(host, limited(64 * 1024));
  let made = 0;
  const another = (): Promise<string | null> => kernel.errorOf(OP.symlink, ROOT, text(`link${made}`, "t".repeat(4000)));
  while ((await another()) === null) made += 1;
  assert.equal(await another(), "EDQUOT");
  assert.ok(made <= 16, `${made} links`);
});

test("a file that cannot be opened as it is to be is not kept open", async () => {
  writeFileSync(at("file"), "");
  chmodSync(at("file"), 0o4666);
  const budget = new HandleBudget({ handles: 2 });
  using kernel = new GuestKernel(host, { budget });
  const { nodeId } = await kernel.lookup(ROOT, "file");
  // A group's member may write to it, and not take its bit away.
  const refuses = mock.method(fs, "fchmodSync", () => {
    throw Object.assign(new Error("no"), { code: "EPERM" });
  });
  syncBuiltinESMExports();
  try {
    for (let round = 0; round < 4; round++) assert.equal(await kernel.errorOf(OP.open, nodeId, u32(2, 0)), "EPERM");
  } finally {
    refuses.mock.restore();
    syncBuiltinESMExports();
  }
  const handle = await kernel.open(nodeId, 2);
  await kernel.release(handle);
});

test("what is given back was taken before: making and removing earns no room, whatever is made", async () => {
  using kernel = new GuestKernel(host, limited(4 * MIB));
  const target = "t".repeat(4000);
  for (let round = 0; round < 10; round++) {
    await kernel.must(OP.symlink, ROOT, text("link", target));
    await kernel.must(OP.unlink, ROOT, text("link"));
    await kernel.must(OP.symlink, ROOT, text("link", target));
    await kernel.must(OP.mknod, ROOT, u32(0o100644, 0, 0, 0), text("node"));
    await kernel.must(OP.rename, ROOT, u64(ROOT), text("node", "link"));
    await kernel.must(OP.unlink, ROOT, text("link"));
    const { handle } = await kernel.create(ROOT, "file");
    await kernel.release(handle);
    await kernel.must(OP.unlink, ROOT, text("file"));
    await kernel.must(OP.mkdir, ROOT, u32(0o755, 0), text("directory"));
    await kernel.must(OP.rmdir, ROOT, text("directory"));
  }
  const { usedBytes, usedFiles } = kernel.server.use();
  assert.deepEqual({ usedBytes, usedFiles }, { usedBytes: 0, usedFiles: 0 });
});

test("a file that is open through another folder of the sandbox keeps its room, too", async () => {
  const budget = new HandleBudget();
  using reader = new GuestKernel(host, { readOnly: true, budget });
  using writer = new GuestKernel(host, { ...limited(2 * MIB), budget });
  const file = await writer.create(ROOT, "file");
  await fill(writer, file.handle);
  const { nodeId } = await reader.lookup(ROOT, "file");
  await reader.open(nodeId);
  await writer.release(file.handle);
  await writer.must(OP.unlink, ROOT, text("file"));
  const next = await writer.create(ROOT, "next");
  assert.ok((await fill(writer, next.handle)).written < 0.6 * MIB);
});

test("room of what the host had is given back when it is cut off; a file with names elsewhere keeps it", async () => {
  writeFileSync(at("large"), Buffer.alloc(8 * MIB, 1));
  const elsewhere = mkdtempSync(path.join(tmpdir(), "sbx-elsewhere-"));
  linkSync(at("large"), path.join(elsewhere, "name"));
  using kernel = new GuestKernel(host, limited(MIB));
  await kernel.lookup(ROOT, "large");
  await kernel.must(OP.unlink, ROOT, text("large"));
  assert.equal(kernel.server.use().usedBytes, 0);
  rmSync(elsewhere, { recursive: true });
  writeFileSync(at("other"), Buffer.alloc(8 * MIB, 1));
  const { nodeId } = await kernel.lookup(ROOT, "other");
  await kernel.must(OP.setattr, nodeId, ...setattr({ valid: SET.size, size: 0 }));
  assert.equal(kernel.server.use().usedBytes, -8 * MIB);
});

test("new files, directories and links end at their quota", async () => {
  using kernel = new GuestKernel(host, limited(MIB, 4));
  const file = await kernel.create(ROOT, "one");
  await kernel.must(OP.mkdir, ROOT, u32(0o755, 0), text("two"));
  await kernel.must(OP.symlink, ROOT, text("three", "x"));
  await kernel.must(OP.link, ROOT, u64(file.nodeId), text("four"));
  const attempts: [number, ...Buffer[]][] = [
    [OP.create, u32(0o102, 0o644, 0, 0), text("five")],
    [OP.mknod, u32(0o100644, 0, 0, 0), text("five")],
    [OP.mkdir, u32(0o755, 0), text("five")],
    [OP.symlink, text("five", "x")],
    [OP.link, u64(file.nodeId), text("five")],
  ];
  for (const [opcode, ...fields] of attempts) assert.equal(await kernel.errorOf(opcode, ROOT, ...fields), "EDQUOT");
  await kernel.must(OP.rename, ROOT, u64(ROOT), text("three", "four"));
  await kernel.create(ROOT, "five");
});

test("open files and listings are bounded for all folders of a sandbox together", async () => {
  const budget = new HandleBudget({ handles: 3, names: 10 });
  using one = new GuestKernel(host, { budget });
  using two = new GuestKernel(host, { budget });
  const file = await one.create(ROOT, "file");
  const { nodeId } = await two.lookup(ROOT, "file");
  await two.open(nodeId);
  const directory = Number((await two.must(OP.opendir, ROOT, u32(0, 0))).readBigUInt64LE(0));
  assert.equal(await one.errorOf(OP.open, file.nodeId, u32(0, 0)), "ENFILE");
  assert.equal(await one.errorOf(OP.create, ROOT, u32(0o102, 0o644, 0, 0), text("more")), "ENFILE");
  for (let index = 0; index < 12; index++) writeFileSync(at(`name-${index}`), "");
  const list = [u64(directory, 0), u32(4096, 0), u64(0), u32(0, 0)];
  assert.equal(await two.errorOf(OP.readdir, ROOT, ...list), "EOVERFLOW");
  await one.release(file.handle);
  await one.open(file.nodeId);
});

test("above its soft bound the server asks names back, oldest first; above the hard one no more are given", async () => {
  for (let index = 0; index < 40; index++) writeFileSync(at(`f${index}`), "");
  using kernel = new GuestKernel(host, { nodes: { soft: 10, hard: 20 } });
  const nodes: number[] = [];
  for (let index = 0; index < 19; index++) nodes.push((await kernel.lookup(ROOT, `f${index}`)).nodeId);
  assert.equal(await kernel.errorOf(OP.lookup, ROOT, text("f20")), "ENFILE");
  const notices = kernel.server.takeNotices();
  assert.equal(notices.length, 19);
  assert.equal(notices[0]?.toString("latin1", 32, notices[0].length - 1), "f0");
  assert.equal(notices[0].readInt32LE(4), 3);
  assert.equal((await kernel.list(ROOT, { plus: true })).length, 42, "a listing does without nodes");
  await kernel.send(OP.batchForget, 0, u32(2, 0), u64(nodes[0] ?? 0, 2, nodes[1] ?? 0, 2));
  assert.notEqual((await kernel.lookup(ROOT, "f20")).nodeId, 0);
});

test("nodes are kept for those below them and dropped with the last of those", () => {
  const table = new NodeTable("root");
  let parent = table.root;
  for (let depth = 0; depth < 300; depth++) parent = table.meet(`i${depth}`, { parent, name: "d" }, true);
  const leaf = table.meet("leaf", { parent, name: "f" }, false);
  for (let depth = 0; depth < 300; depth++) table.forget(table.find(`i${depth}`)?.id ?? 0, 1);
  assert.equal(table.size, 302);
  table.forget(leaf.id, 7);
  assert.equal(table.size, 1);
});

test("a tree that the host turned inside out makes no circle of nodes", () => {
  const table = new NodeTable("root");
  const a = table.meet("a", { parent: table.root, name: "a" }, true);
  const b = table.meet("b", { parent: a, name: "b" }, true);
  table.meet("a", { parent: b, name: "a" }, true);
  assert.equal(a.parent, table.root);
});

test("a stream of requests is cut the same wherever its chunks end, and a length that cannot be ends it", () => {
  const packets = [
    request(OP.lookup, 1, 1, text("file")),
    request(OP.statfs, 1, 2),
    request(OP.lookup, 1, 3, text("x")),
  ];
  const bytes = Buffer.concat(packets);
  for (let step = 1; step <= bytes.length; step++) {
    const decoder = new RequestDecoder();
    const found: number[] = [];
    for (let offset = 0; offset < bytes.length; offset += step) {
      for (const { opcode } of decoder.push(bytes.subarray(offset, offset + step))) found.push(opcode);
    }
    assert.deepEqual(found, [OP.lookup, OP.statfs, OP.lookup]);
  }
  const long = request(OP.lookup, 1, 4, Buffer.alloc(300_000, "x"));
  const decoder = new RequestDecoder();
  const sizes: number[] = [];
  for (let at = 0; at < long.length; at++) {
    // A view of one byte: nothing of what it is a view of may be kept.
    for (const { body } of decoder.push(long.subarray(at, at + 1))) sizes.push(body.data(300_000).length);
  }
  assert.deepEqual(sizes, [300_000]);
  for (const length of [0, 39, 2 ** 31, 0xffff_ffff]) {
    assert.throws(() => [...new RequestDecoder().push(u32(length, 0))], BrokenStream);
  }
});

test("directories whose path is too long to be told stay reachable, and are not kept open without an end", async () => {
  using kernel = new GuestKernel(host);
  let node = ROOT;
  const name = "d".repeat(200);
  // Some 8,000 bytes: the kernel tells paths of up to 4,096.
  for (let step = 0; step < 40; step++) {
    const made = await kernel.must(OP.mkdir, node, u32(0o755, 0), text(name));
    node = Number(made.readBigUInt64LE(0));
  }
  const { handle } = await kernel.create(node, "file");
  await kernel.release(handle);
  const before = readdirSync("/proc/self/fd").length;
  for (let round = 0; round < 50; round++) {
    await kernel.lookup(node, "file");
    // The directory is asked for twice in one request, and must be the same both times.
    await kernel.must(OP.rename, node, u64(node), text("file", "other"));
    await kernel.must(OP.rename, node, u64(node), text("other", "file"));
  }
  const after = readdirSync("/proc/self/fd").length;
  execFileSync("rm", ["-rf", at(name)]);
  assert.ok(after <= before + 2, `${before} descriptors, then ${after}`);
});
