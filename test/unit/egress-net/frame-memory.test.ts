import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../../../fuzz/seeded-random.ts";
import { checksum } from "../../../fuzz/net-guest-frames.ts";
import { createPlainMemory, createWasmMemory } from "../../../src/egress/net/frame-memory.ts";

for (const [name, create] of [
  ["WebAssembly", createWasmMemory],
  ["JavaScript", createPlainMemory],
] as const) {
  test(`${name} sums any bytes at any address as RFC 1071 does`, () => {
    const memory = create(200_000);
    const random = new SeededRandom(5);
    const untouched = Buffer.alloc(memory.bytes.length, 0xa5);
    for (let times = 0; times < 200; times++) {
      const begin = random.below(1000);
      const length = times === 0 ? 65_535 : random.below(times % 10 === 0 ? 65_535 : 300);
      const bytes = times % 20 === 0 ? Buffer.alloc(length, 0xff) : random.bytes(length);
      // What is behind the end does not count.
      memory.bytes.fill(0xa5);
      memory.bytes.set(bytes, begin);
      const sum = memory.sum(begin, begin + length);
      assert.equal(sum % 0xffff, (0xffff - checksum(bytes)) % 0xffff, `${length} bytes at ${begin}`);
      assert.deepEqual(memory.bytes.subarray(begin, begin + length), bytes);
      assert.ok(memory.bytes.subarray(begin + length + 64).equals(untouched.subarray(begin + length + 64)));
    }
  });
}
