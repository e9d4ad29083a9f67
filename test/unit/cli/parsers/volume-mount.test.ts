/** `--volume NAME:/path[:ro]`: what is not exactly that gives no sandbox a volume to write to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseVolumeMount } from "../../../../src/cli/parsers/volume-mount.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

test("a volume, where it is to be, and whether it can be written to", () => {
  const mount = { volume: "data", path: "/data" };
  assert.deepEqual(parseVolumeMount("data:/data"), { ...mount, access: "read-write" });
  assert.deepEqual(parseVolumeMount("data:/data:rw"), { ...mount, access: "read-write" });
  assert.deepEqual(parseVolumeMount("data:/data:ro"), { ...mount, access: "read-only" });
  assert.equal(parseVolumeMount("data://a///b/:ro").path, "/a/b");
});

for (const text of [
  "data:/data:RO",
  "data:/data:r0",
  "data:/data:ro,noexec",
  "data:/data:ro:",
  "data:/data:",
  "data:/a:ro:rw",
]) {
  test(`${text} is refused: it may have meant a volume that is only read`, () => {
    assert.throws(
      () => parseVolumeMount(text),
      (error) => error instanceof SbxError && error.code === "usage" && /:ro or :rw$/.test(error.message),
    );
  });
}

for (const text of ["data", "data:", "data:x", ":/data", "data:/", "data:/a/../b", "data:/./a", "../x:/data", ""]) {
  test(`${JSON.stringify(text)} is refused`, () => {
    assert.throws(
      () => parseVolumeMount(text),
      (error) => error instanceof SbxError && error.code === "usage",
    );
  });
}
