/** Finding QEMU: its version as it prints it, and what is refused. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { findProgram, findQemu, locateQemu, parseVersion } from "../../../src/vm/qemu-binary.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("a version keeps the distribution's suffix, since device state depends on it", () => {
  const text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright";
  assert.deepEqual(parseVersion(text, "qemu"), {
    version: "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)",
    major: 7,
    minor: 2,
  });
  assert.equal(parseVersion("QEMU emulator version 9.1.0\n", "qemu").version, "9.1.0");
});

test("an old QEMU and a program that is none are refused", () => {
  assert.throws(() => parseVersion("QEMU emulator version 6.2.0", "qemu"), {
    code: "qemu_missing",
    message: "QEMU 6.2 is too old; sbx needs 7 or newer",
  });
  assert.throws(() => parseVersion("hello", "/x/qemu"), { message: "/x/qemu does not say its version: hello" });
});

test("programs are looked for in absolute directories of PATH only, and must be executable", async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(path.join(directory, "a"));
  mkdirSync(path.join(directory, "b"));
  writeFileSync(path.join(directory, "a", "tool"), "");
  writeFileSync(path.join(directory, "b", "tool"), "");
  chmodSync(path.join(directory, "b", "tool"), 0o755);
  const variable = ["", ".", path.join(directory, "a"), path.join(directory, "b")].join(":");
  assert.equal(await findProgram("tool", variable), path.join(directory, "b", "tool"));
  assert.equal(await findProgram("absent", variable), undefined);
});

test("an override is made absolute, and one that does not run is named with the package to install", async () => {
  assert.equal(await locateQemu("some/qemu"), path.resolve("some/qemu"));
  await assert.rejects(findQemu("/nowhere/qemu"), (error: Error & { code?: string; hint?: string }) => {
    assert.equal(error.code, "qemu_missing");
    assert.equal(error.message, "QEMU at /nowhere/qemu does not run");
    assert.match(error.hint ?? "", /^sudo apt-get install qemu-system-/);
    return true;
  });
});
