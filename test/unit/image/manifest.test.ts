import assert from "node:assert/strict";
import { test } from "node:test";
import { NewerManifestError, encodeManifest, manifestId, parseManifest } from "../../../src/vm/image/manifest.ts";
import { HASH, manifestOf } from "./small-image.ts";

const FILE = { sizeBytes: 10, sha256: HASH };
const MANIFEST = manifestOf({ "root.ext4": FILE, vmlinuz: FILE, "modules.cpio": FILE });

test("a manifest is read as it was written, and its id is the hash of its bytes", () => {
  const { bytes, id } = encodeManifest(MANIFEST);
  assert.deepEqual(parseManifest(bytes), MANIFEST);
  assert.equal(id, manifestId(bytes));
});

test("any change gives another id", () => {
  const changed = { ...MANIFEST, createdAt: MANIFEST.createdAt + 1 };
  assert.notEqual(encodeManifest(MANIFEST).id, encodeManifest(changed).id);
});

test("what is not a manifest is refused", () => {
  const bad: unknown[] = [
    {},
    { ...MANIFEST, files: { "root.ext4": FILE } },
    { ...MANIFEST, files: { ...MANIFEST.files, "../../etc/passwd": FILE } },
    { ...MANIFEST, architecture: "riscv64" },
    { ...MANIFEST, recipe: "HASH" },
    { ...MANIFEST, unknown: true },
    { ...MANIFEST, files: { ...MANIFEST.files, vmlinuz: { sizeBytes: -1, sha256: HASH } } },
  ];
  for (const value of bad) assert.throws(() => parseManifest(Buffer.from(JSON.stringify(value))));
  assert.throws(() => parseManifest(Buffer.from('{"schema": 1')));
});

test("a manifest of a later schema is told from a damaged one", () => {
  const later = Buffer.from(JSON.stringify({ schema: 2, whatever: [] }));
  assert.throws(() => parseManifest(later), NewerManifestError);
});
