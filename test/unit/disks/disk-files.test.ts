/** An exported disk comes back as it was; a file that is not what an export writes is refused, and nothing of it stays. */
import { createHash, randomBytes } from "node:crypto";
import assert from "node:assert/strict";
import {
  closeSync,
  createReadStream,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { SbxError } from "../../../src/runtime/errors.ts";
import { encodeBlockHead, encodeHeader, hashedHead, MAGIC } from "../../../src/runtime/local/disks/disk-file.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { inconsistencies, MiB, newDisks, type DiskHome } from "./disk-home.ts";

const HEADER = {
  version: 1,
  kind: "volume",
  slug: "given",
  sizeBytes: 16 * MiB,
  contentBytes: 4096,
  imageId: null,
  createdAt: 1,
} as const;

interface Block {
  offset: number;
  data: Buffer;
  packed?: Buffer;
  length?: number;
}

/** A file as an export writes it, from parts that may be wrong. */
function diskFile(options: { header?: object | Buffer; blocks?: Block[]; sum?: number; hash?: Buffer } = {}): Buffer {
  const { header = HEADER, blocks = [{ offset: 4096, data: Buffer.alloc(4096, 7) }] } = options;
  const json = Buffer.isBuffer(header) ? header : Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const head = Buffer.concat([MAGIC, length, json]);
  const hash = createHash("sha256").update(head);
  const parts: Buffer[] = [head];
  for (const { offset, data, packed = zstdCompressSync(data), length: claimed = data.length } of blocks) {
    hash.update(hashedHead({ offset, length: claimed })).update(data);
    parts.push(encodeBlockHead({ offset, length: claimed, packedLength: packed.length }), packed);
  }
  const sum = options.sum ?? blocks.reduce((total, { data }) => total + data.length, 0);
  parts.push(encodeBlockHead({ offset: sum, length: 0, packedLength: 32 }), options.hash ?? hash.digest());
  return Buffer.concat(parts);
}

async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function importBoth(home: DiskHome, bytes: Buffer, slug?: string): Promise<SbxError[]> {
  const errors: SbxError[] = [];
  for (const api of [home.volumes, home.snapshots]) {
    const spec = slug === undefined ? {} : { slug };
    const error: unknown = await api.import(inParts(bytes, 1000), spec).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof SbxError, `no SbxError: ${String(error)}`);
    errors.push(error);
  }
  return errors;
}

test("what an export writes, an import makes again, in whatever parts it comes", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 64 * MiB });
  // Blocks that pack and blocks that do not.
  const noise = Buffer.concat([Buffer.alloc(3 * MiB, "seven"), randomBytes(100_077)]);
  const handle = openSync(home.headPath("data"), "r+");
  writeSync(handle, noise, 0, noise.length, 20 * MiB + 13);
  closeSync(handle);
  await home.volumes.snapshot("data", "monday");
  const raw = readFileSync(home.snapshotPath("monday"));
  const output = new PassThrough();
  const [report, bytes] = await Promise.all([
    home.snapshots.export("monday", output).finally(() => output.end()),
    buffer(output),
  ]);
  assert.equal(report.fileBytes, bytes.length);
  assert.ok(report.contentBytes >= noise.length && report.contentBytes < 16 * MiB);
  for (const size of [1, 7, 65_536, bytes.length]) {
    const volume = await home.volumes.import(inParts(bytes, size), { slug: `size-${size}` });
    assert.equal(volume.capacityBytes, 64 * MiB);
    assert.ok(readFileSync(home.headPath(`size-${size}`)).equals(raw));
    assert.ok(statSync(home.headPath(`size-${size}`)).blocks * 512 < 16 * MiB, "holes stay holes");
  }
  const snapshot = await home.snapshots.import(inParts(bytes, 9999), { slug: "tuesday" });
  assert.deepEqual([snapshot.source.kind, snapshot.source.name, snapshot.faults], ["file", "monday", []]);
  assert.deepEqual(await inconsistencies(home), []);
});

test("the files that this test makes up are accepted when they are right", async (t) => {
  const home = await newDisks(t);
  await home.volumes.import(inParts(diskFile(), 10), {});
  const content = readFileSync(home.headPath("given"));
  assert.ok(content.subarray(4096, 8192).equals(Buffer.alloc(4096, 7)));
  assert.equal(content.filter((byte) => byte !== 0).length, 4096);
  const stored = randomBytes(4096);
  const blocks = [{ offset: 16 * MiB - 4096, data: stored, packed: stored }];
  await home.volumes.import(inParts(diskFile({ blocks }), 10), { slug: "stored" });
  const nothing = { ...HEADER, contentBytes: 0 };
  await home.snapshots.import(inParts(diskFile({ header: nothing, blocks: [] }), 10), { slug: "nothing" });
  assert.deepEqual(await inconsistencies(home), []);
});

const bomb = zstdCompressSync(Buffer.alloc(512 * MiB));
const kB4 = Buffer.alloc(4096, 7);
const block = { offset: 4096, data: kB4 };

const HOSTILE: [string, Buffer, RegExp][] = [
  ["nothing", Buffer.alloc(0), /it is too short/],
  ["another file", randomBytes(4096), /no disk that sbx exported/],
  [
    "a qcow2 file with a backing file",
    Buffer.concat([Buffer.from("QFI\xfb", "latin1"), Buffer.alloc(600)]),
    /no disk that sbx/,
  ],
  ["a header without an end", Buffer.concat([MAGIC, Buffer.from([255, 255, 255, 127])]), /header is too long/],
  ["a header that is cut off", diskFile().subarray(0, 40), /ends in its header/],
  ["a header that is no JSON", diskFile({ header: Buffer.from("{'a': 1}") }), /no JSON/],
  ["a header that is null", diskFile({ header: Buffer.from("null") }), /does not say what it should/],
  ["an unknown field", diskFile({ header: { ...HEADER, path: "/etc/passwd" } }), /does not say/],
  ["a name with a slash", diskFile({ header: { ...HEADER, slug: "../../etc" } }), /does not say/],
  ["a disk of no whole sectors", diskFile({ header: { ...HEADER, sizeBytes: 16 * MiB + 1 } }), /does not say/],
  ["a disk larger than any", diskFile({ header: { ...HEADER, sizeBytes: 2 ** 50 } }), /does not say/],
  ["a negative size", diskFile({ header: { ...HEADER, sizeBytes: -512 } }), /does not say/],
  ["a tiny disk", diskFile({ header: { ...HEADER, sizeBytes: 8192 } }), /only 8192 bytes/],
  ["an image that is none", diskFile({ header: { ...HEADER, imageId: "../default" } }), /does not say/],
  ["more content than disk", diskFile({ header: { ...HEADER, contentBytes: 17 * MiB } }), /more than its disk/],
  ["more content than it says", diskFile({ blocks: [block, { offset: 8192, data: kB4 }] }), /more than it says/],
  ["less content than it says", diskFile({ header: { ...HEADER, contentBytes: 8192 } }), /as much as it says/],
  ["another sum at its end", diskFile({ sum: 4097 }), /as much as it says/],
  ["a block behind the disk", diskFile({ blocks: [{ ...block, offset: 16 * MiB }] }), /outside of the disk/],
  ["a block over the disk's end", diskFile({ blocks: [{ ...block, offset: 16 * MiB - 512 }] }), /outside of the disk/],
  ["a block far away", diskFile({ blocks: [{ ...block, offset: 2 ** 53 - 4096 }] }), /outside of the disk/],
  [
    "blocks that go back",
    diskFile({ header: { ...HEADER, contentBytes: 8192 }, blocks: [block, { offset: 0, data: kB4 }] }),
    /overlap/,
  ],
  [
    "blocks that overlap",
    diskFile({ header: { ...HEADER, contentBytes: 8192 }, blocks: [block, { offset: 8191, data: kB4 }] }),
    /overlap/,
  ],
  ["a block that is too large", diskFile({ blocks: [{ ...block, length: MiB + 1 }] }), /block is too large/],
  [
    "a block that unpacks to more",
    diskFile({ blocks: [{ ...block, packed: bomb.subarray(0, 4095) }] }),
    /cannot be unpacked/,
  ],
  [
    "a bomb",
    diskFile({
      header: { ...HEADER, contentBytes: MiB },
      blocks: [{ offset: 0, data: Buffer.alloc(MiB), packed: bomb }],
    }),
    /cannot be unpacked|too large/,
  ],
  [
    "a block that unpacks to less",
    diskFile({ blocks: [{ ...block, packed: zstdCompressSync(kB4.subarray(1)) }] }),
    /its length/,
  ],
  [
    "a block that does not unpack",
    diskFile({ blocks: [{ ...block, packed: Buffer.alloc(100, 1) }] }),
    /cannot be unpacked/,
  ],
  ["a block without bytes", diskFile({ blocks: [{ ...block, packed: Buffer.alloc(0) }] }), /block is too large/],
  ["another hash", diskFile({ hash: Buffer.alloc(32) }), /content has changed/],
  ["a hash that is too short", Buffer.concat([diskFile().subarray(0, -33), Buffer.alloc(3)]), /cut off|hold a hash/],
  ["a bit that was turned", turnBit(diskFile(), 300), /./],
  ["something behind its end", Buffer.concat([diskFile(), Buffer.from("x")]), /follows its end/],
  ["itself behind its end", Buffer.concat([diskFile(), diskFile()]), /follows its end/],
];

function turnBit(bytes: Buffer, at: number): Buffer {
  const turned = Buffer.from(bytes);
  const place = Math.min(at, turned.length - 40);
  turned[place] = (turned[place] ?? 0) ^ 1;
  return turned;
}

for (const [what, bytes, reason] of HOSTILE) {
  test(`an import of a file with ${what} is refused, and nothing is left`, async (t) => {
    const home = await newDisks(t);
    for (const error of await importBoth(home, bytes)) {
      assert.equal(error.code, "disk_file_invalid");
      assert.match(error.message, reason);
    }
    assert.deepEqual(home.files(), []);
    assert.deepEqual([home.state.disks.volumes.list(), home.state.disks.snapshots.list()], [[], []]);
    assert.deepEqual(await inconsistencies(home), []);
  });
}

test("a file of a later format says that it needs a newer sbx", async (t) => {
  const home = await newDisks(t);
  for (const { code, hint } of await importBoth(home, diskFile({ header: { version: 2, anything: [] } }))) {
    assert.deepEqual([code, hint], ["state_newer", "update sbx"]);
  }
});

test("a file that is cut off anywhere is refused", async (t) => {
  const home = await newDisks(t);
  const bytes = diskFile();
  for (let length = 0; length < bytes.length; length += 11) {
    for (const { code } of await importBoth(home, bytes.subarray(0, length))) assert.equal(code, "disk_file_invalid");
  }
  assert.deepEqual(home.files(), []);
});

test("what cannot fit is refused before a byte of it is written", async (t) => {
  const home = await newDisks(t);
  const header = { ...HEADER, sizeBytes: 2 ** 45, contentBytes: 2 ** 45 };
  for (const error of await importBoth(home, diskFile({ header }))) {
    assert.equal(error.code, "disk_full");
    assert.match(error.message, /^the import needs \d+ MB, and .* has \d+ MB$/);
  }
  assert.deepEqual(home.files(), []);
});

test("a name that is taken is refused, and the one that has it is as it was", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "given", capacityBytes: 16 * MiB });
  const before = readFileSync(home.headPath("given"));
  for (const { code } of await importBoth(home, diskFile())) assert.equal(code, "name_in_use");
  assert.ok(readFileSync(home.headPath("given")).equals(before));
  assert.equal(home.files().length, 1);
});

test("a source that fails, or is given up, leaves nothing", async (t) => {
  const home = await newDisks(t);
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield diskFile().subarray(0, 200);
    throw new SbxError("file_error", "the disk is gone");
  }
  await assert.rejects(home.volumes.import(broken(), {}), { code: "file_error" });
  const controller = new AbortController();
  async function* slow(): AsyncGenerator<Uint8Array> {
    const blocks = Array.from({ length: 4 }, (_, index) => ({ offset: index * 4096, data: kB4 }));
    const bytes = diskFile({ header: { ...HEADER, contentBytes: 4 * 4096 }, blocks });
    for await (const part of inParts(bytes, 60)) {
      controller.abort();
      yield part;
    }
  }
  await assert.rejects(home.volumes.import(slow(), {}, { signal: controller.signal }), { code: "aborted" });
  assert.deepEqual(home.files(), []);
});

test("an export takes its name when it is whole, replaces nothing unasked, and leaves nothing beside it", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "data.sbxdisk");
  writeFileSync(file, "mine");
  await assert.rejects(home.volumes.export("data", { path: file, overwrite: false }), { code: "file_error" });
  assert.equal(readFileSync(file, "utf8"), "mine");
  await home.volumes.export("data", { path: file, overwrite: true });
  const controller = new AbortController();
  controller.abort();
  const other = path.join(directory, "other.sbxdisk");
  await assert.rejects(home.volumes.export("data", { path: other, overwrite: false }, { signal: controller.signal }));
  await assert.rejects(home.volumes.export("data", { path: "/nowhere/x", overwrite: false }), { code: "file_error" });
  assert.deepEqual(readdirSync(directory), ["data.sbxdisk"]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual((await home.volumes.get("data")).holders, []);
  await home.volumes.import(createReadStream(file), { slug: "again" });
  assert.deepEqual(home.state.staging.listAbandoned(), []);
});

test("a volume that somebody writes to is not exported", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const holder = home.sandbox({ name: "box" });
  home.state.disks.change(() => home.state.disks.claims.claim({ id, slug: "data" }, holder, "read-write", "/data"));
  const file = path.join(temporaryDirectory(t), "x");
  await assert.rejects(home.volumes.export("data", { path: file, overwrite: false }), {
    code: "volume_in_use",
    message: "volume data is being used by box",
  });
  assert.equal(existsSync(file), false);
});

test("the header that an export writes is the one that an import reads", () => {
  assert.ok(encodeHeader(HEADER).equals(diskFile().subarray(0, encodeHeader(HEADER).length)));
});
