import assert from "node:assert/strict";
import { test } from "node:test";
import { writeCpio } from "../../../src/vm/image/cpio.ts";

interface ReadEntry {
  name: string;
  inode: number;
  mode: number;
  links: number;
  device: [number, number];
  content: string;
}

/** Reads by the kernel's description: header, name, padding to four, content, padding to four. */
function readCpio(bytes: Buffer): { entries: ReadEntry[]; end: number } {
  const entries: ReadEntry[] = [];
  for (let at = 0; ;) {
    assert.equal(bytes.toString("latin1", at, at + 6), "070701");
    const field = (index: number): number =>
      parseInt(bytes.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    assert.equal(bytes[nameEnd - 1], 0, "a name ends with a zero byte");
    const name = bytes.toString("utf8", at + 110, nameEnd - 1);
    const start = Math.ceil(nameEnd / 4) * 4;
    const content = bytes.toString("utf8", start, start + field(6));
    const device: [number, number] = [field(9), field(10)];
    const entry = { name, inode: field(0), mode: field(1), links: field(4), device, content };
    at = Math.ceil((start + field(6)) / 4) * 4;
    if (name === "TRAILER!!!") return { entries, end: at };
    entries.push(entry);
  }
}

test("an archive gives back directories, files and devices with their modes", () => {
  const archive = writeCpio([
    { type: "directory", path: "modules", mode: 0o755 },
    { type: "file", path: "modules/order", mode: 0o644, content: Buffer.from("a.ko\nb.ko\n") },
    { type: "file", path: "init", mode: 0o755, content: Buffer.from("") },
    { type: "character", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  ]);
  const { entries } = readCpio(archive);
  assert.deepEqual(entries, [
    { name: "modules", inode: 1, mode: 0o040755, links: 2, device: [0, 0], content: "" },
    { name: "modules/order", inode: 2, mode: 0o100644, links: 1, device: [0, 0], content: "a.ko\nb.ko\n" },
    { name: "init", inode: 3, mode: 0o100755, links: 1, device: [0, 0], content: "" },
    { name: "dev/console", inode: 4, mode: 0o020600, links: 1, device: [5, 1], content: "" },
  ]);
});

test("another archive can follow, since each is padded with zeros to 512 bytes", () => {
  const archive = writeCpio([{ type: "file", path: "x", mode: 0o644, content: Buffer.from("12345") }]);
  assert.equal(archive.length % 512, 0);
  assert.ok(archive.subarray(readCpio(archive).end).every((byte) => byte === 0));
});

test("the same entries give the same bytes", () => {
  const entries = [{ type: "file", path: "x", mode: 0o644, content: Buffer.from("y") }] as const;
  assert.deepEqual(writeCpio(entries), writeCpio(entries));
});

test("names and content of every length are aligned", () => {
  for (let length = 1; length <= 9; length += 1) {
    const name = "n".repeat(length);
    const content = "c".repeat(length * 3 + 1);
    const [entry] = readCpio(
      writeCpio([{ type: "file", path: name, mode: 0o600, content: Buffer.from(content) }]),
    ).entries;
    assert.deepEqual([entry?.name, entry?.content], [name, content]);
  }
});

test("a path that is absolute, climbs or would end the archive is refused", () => {
  for (const path of ["/init", "a/../b", ".", "", "a//b", "TRAILER!!!"]) {
    assert.throws(() => writeCpio([{ type: "directory", path, mode: 0o755 }]), RangeError, path);
  }
});
