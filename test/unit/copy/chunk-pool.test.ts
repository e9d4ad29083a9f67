/** The buffers of a copy's chunks: used again only when they were given back, and nothing else is taken for one. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ChunkPool } from "../../../src/runtime/copy/chunk-pool.ts";
import { CHUNK_BYTES } from "../../../src/runtime/copy/copy-records.ts";
import { resolveDestination } from "../../../src/runtime/copy/destination.ts";
import { resolveSources } from "../../../src/runtime/copy/pack-sources.ts";
import { pack } from "../../../src/runtime/copy/pack.ts";
import { unpack } from "../../../src/runtime/copy/unpack.ts";
import { picture, Scratch } from "./scratch.ts";

test("a chunk that was given back, whole or its front part, is taken again", () => {
  const pool = new ChunkPool();
  const first = pool.take();
  const second = pool.take();
  assert.notEqual(first.buffer, second.buffer);
  pool.give(first.subarray(0, 10));
  const third = pool.take();
  assert.equal(third.buffer, first.buffer);
  assert.equal(third.length, CHUNK_BYTES);
});

test("what is no chunk of the pool's is left alone", () => {
  const pool = new ChunkPool();
  const foreign = [Buffer.alloc(10), Buffer.allocUnsafeSlow(CHUNK_BYTES + 1), pool.take().subarray(1)];
  for (const chunk of foreign) pool.give(chunk);
  const taken = pool.take();
  assert.ok(foreign.every((chunk) => chunk.buffer !== taken.buffer));
});

test("a pool keeps a few buffers, however many come back", () => {
  const pool = new ChunkPool();
  const all = Array.from({ length: 50 }, () => pool.take());
  for (const chunk of all) pool.give(chunk);
  const again = new Set(Array.from({ length: 50 }, () => pool.take().buffer));
  assert.equal(all.filter(({ buffer }) => again.has(buffer)).length, 4);
});

test("a copy whose chunks are overwritten as soon as they are given back arrives as it was", async () => {
  using scratch = new Scratch();
  const source = join(scratch.path, "source");
  mkdirSync(source);
  for (let index = 0; index < 40; index++) {
    writeFileSync(join(source, `file-${index}`), Buffer.alloc(index * 20_000, `${index}.`));
  }
  const pool = new ChunkPool();
  const buffers = new Set<ArrayBufferLike>();
  async function* overwritten(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of pack(resolveSources([source]).sources, { files: 0, bytes: 0 }, { pool })) {
      buffers.add(chunk.buffer);
      yield Buffer.from(chunk);
      chunk.fill(0xee);
      pool.give(chunk);
    }
  }
  const target = join(scratch.path, "target");
  await unpack(overwritten(), resolveDestination(target, false));
  assert.deepEqual(picture(target), picture(source));
  assert.ok(buffers.size <= 4, `${buffers.size} buffers`);
});
