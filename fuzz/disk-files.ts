/**
 * Fuzzes the reader of exported disks: files that are right, nearly right, cut, mutated and noise. Fails when anything
 * but an SbxError comes out, when a block breaks the rules of the format (order, bounds, sum, size), or when a file that
 * is right is refused.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { SbxError } from "../src/runtime/errors.ts";
import { DiskFileReader } from "../src/runtime/local/disks/disk-file-reader.ts";
import { encodeBlockHead, hashedHead, MAGIC, MAX_BLOCK_BYTES } from "../src/runtime/local/disks/disk-file.ts";
import { fuzzFailure, type FuzzOptions } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const SECTOR_BYTES = 512;
const NUMBERS = [0, 1, 511, 512, 4096, 2 ** 20, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 53 - 1] as const;

/** Reads `iterations` files that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    const { bytes, isRight } = makeFile(random);
    try {
      const outcome = await read(random.cut(bytes));
      if (isRight) assert.equal(outcome, "accepted");
    } catch (error) {
      throw fuzzFailure("disk-files", seed, iteration, bytes, error);
    }
  }
}

async function read(parts: readonly Buffer[]): Promise<string> {
  const reader = new DiskFileReader(asSource(parts));
  try {
    const header = await reader.header();
    let [end, sum] = [0, 0];
    for await (const { offset, data } of reader.blocks()) {
      assert.ok(offset >= end && data.length > 0 && data.length <= MAX_BLOCK_BYTES);
      end = offset + data.length;
      sum += data.length;
      assert.ok(end <= header.sizeBytes && sum <= header.contentBytes);
    }
    assert.equal(sum, header.contentBytes);
    return "accepted";
  } catch (error) {
    assert.ok(error instanceof SbxError, `not an SbxError: ${String(error)}`);
    assert.notEqual(error.code, "internal");
    return error.code;
  } finally {
    await reader.close();
  }
}

async function* asSource(parts: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part;
}

/** One file, and whether an export could have written it. */
function makeFile(random: SeededRandom): { bytes: Buffer; isRight: boolean } {
  if (random.chance(5)) return { bytes: random.bytes(random.below(200)), isRight: false };
  const isRight = random.chance(40);
  const bytes = assemble(random, isRight);
  return { bytes: isRight || random.chance(50) ? bytes : random.mutate(bytes), isRight };
}

function assemble(random: SeededRandom, isRight: boolean): Buffer {
  const blocks = makeBlocks(random, isRight);
  const sum = blocks.reduce((total, { data }) => total + data.length, 0);
  const end = blocks.reduce((most, { offset, data }) => Math.max(most, offset + data.length), SECTOR_BYTES);
  const header = {
    ...{ version: 1, kind: random.pick(["volume", "snapshot"]), slug: "given" },
    ...{ sizeBytes: Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES, contentBytes: sum, imageId: null, createdAt: 1 },
    ...(isRight ? {} : wrongFields(random)),
  };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const head = Buffer.concat([MAGIC, length, json]);
  const hash = createHash("sha256").update(head);
  const parts: Buffer[] = [head];
  for (const { offset, data } of blocks) {
    const packed = zstdCompressSync(data);
    const bytes = packed.length < data.length ? packed : data;
    hash.update(hashedHead({ offset, length: data.length })).update(data);
    parts.push(encodeBlockHead({ offset, length: data.length, packedLength: bytes.length }), bytes);
  }
  parts.push(encodeBlockHead({ offset: sum, length: 0, packedLength: 32 }), hash.digest());
  return Buffer.concat(parts);
}

function makeBlocks(random: SeededRandom, isRight: boolean): { offset: number; data: Buffer }[] {
  let at = 0;
  return Array.from({ length: random.below(6) }, () => {
    const length = 1 + random.below(random.chance(20) ? 20_000 : 600);
    const data = random.chance(50) ? random.bytes(length) : Buffer.alloc(length, random.below(256));
    at += isRight || random.chance(80) ? random.below(5000) : -Math.min(at, random.below(600));
    const offset = !isRight && random.chance(10) ? random.pick(NUMBERS) : at;
    at = offset + length;
    return { offset, data };
  });
}

function wrongFields(random: SeededRandom): object {
  if (random.chance(50)) return {};
  const field = random.pick(["version", "kind", "slug", "sizeBytes", "contentBytes", "imageId", "createdAt", "extra"]);
  return { [field]: random.pick([...NUMBERS, "", "x", "../..", null, true, -1, 0.5, [], {}]) };
}
