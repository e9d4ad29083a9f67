import assert from "node:assert/strict";
import { test } from "node:test";
import { fileSystemBytes } from "../../../src/vm/image/file-system.ts";

const MIB = 1024 ** 2;

test("a file system has room beyond its content and ends with a whole block group", () => {
  for (const content of [0, 700 * MIB, 1500 * MIB, 9000 * MIB]) {
    const size = fileSystemBytes(content);
    assert.equal(size % (128 * MIB), 0);
    assert.ok(size - content * 1.05 >= 256 * MIB);
  }
});

test("more content never gives a smaller file system, and the smallest has 1 GiB", () => {
  assert.equal(fileSystemBytes(0), 1024 * MIB);
  assert.ok(fileSystemBytes(2000 * MIB) > fileSystemBytes(1500 * MIB));
});
