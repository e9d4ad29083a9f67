/** QEMU's version is asked for once, and again as soon as the program is another one. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";
import { knownQemu } from "../../../src/runtime/local/known-qemu.ts";
import { statePaths } from "../../../src/runtime/local/paths.ts";

const directory = mkdtempSync(path.join(tmpdir(), "sbx-known-qemu-"));
const binary = path.join(directory, "qemu");
const callsPath = path.join(directory, "calls");
const paths = { ...statePaths({ SBX_HOME: directory }), statePath: directory };
const memoryPath = path.join(directory, "qemu.json");

/** A program that says its version and leaves a mark each time. */
function installQemu(version: string): void {
  rmSync(binary, { force: true });
  writeFileSync(binary, `#!/bin/sh\necho x >> '${callsPath}'\necho 'QEMU emulator version ${version}'\n`);
  chmodSync(binary, 0o755);
}

function calls(): number {
  return readFileSync(callsPath, "utf8").length / 2;
}

beforeEach(() => {
  process.env.SBX_QEMU = binary;
  rmSync(memoryPath, { force: true });
  writeFileSync(callsPath, "");
  installQemu("7.2.22 (Debian 1:7.2)");
});

after(() => {
  delete process.env.SBX_QEMU;
  rmSync(directory, { recursive: true, force: true });
});

test("a QEMU that was asked once is not asked again", async () => {
  const first = await knownQemu(paths);
  assert.deepEqual(first, { path: binary, version: "7.2.22 (Debian 1:7.2)", major: 7, minor: 2 });
  assert.deepEqual(await knownQemu(paths), first);
  assert.equal(calls(), 1);
});

test("a QEMU that was replaced is asked for its version", async () => {
  await knownQemu(paths);
  installQemu("9.1.0");
  assert.equal((await knownQemu(paths)).version, "9.1.0");
  assert.equal(calls(), 2);
});

test("a damaged memory of QEMU is not believed", async () => {
  const qemu = await knownQemu(paths);
  for (const damaged of ["", "{", '{"stamp":1}', '{"stamp":"","qemu":{}}']) {
    writeFileSync(memoryPath, damaged);
    assert.deepEqual(await knownQemu(paths), qemu);
  }
  assert.equal(calls(), 5);
});
