/** A checkpoint's record and files: whatever differs from what was saved is named, and nothing of it is used. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import type { CopyAnswer } from "../../../src/protocol/machine-calls.ts";
import {
  checkShape,
  describeSaved,
  openSaved,
  savedFiles,
  type SavedFiles,
  type SavedMachine,
} from "../../../src/runtime/local/copies/saved-machine.ts";
import type { SandboxRow } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const QEMU = { version: "7.2.0 (Debian)" };

const ANSWER: CopyAnswer = {
  ...{ pausedMs: 40, privatePages: 10, latePages: 1, volumes: [] },
  machine: {
    machine: { accelerator: { name: "tcg", cpuModel: "qemu64", tscKhz: 2_000_000 }, memoryBytes: 1024 ** 3, cpus: 2 },
    diskBytes: 10_000_000_000,
    qemuVersion: QEMU.version,
  },
  memories: {
    egress: {
      policy: {
        mode: "none",
        rules: [
          {
            ...{ id: "r1", verdict: "allow", host: "api.example.com", ports: [{ first: 443, last: 443 }] },
            ...{ methods: null, paths: null, source: { kind: "option", option: "--allow-net" } },
          },
        ],
        expressions: [],
      },
      secrets: [{ name: "KEY", hosts: [{ host: "api.example.com", port: null, scheme: "https" }] }],
      ...{ onLeak: "block", inspect: false, hookPath: null, awaitsSettings: true },
      resolve: [{ host: "api.example.com", port: 443, address: "192.0.2.1" }],
    },
    extraRootsPem: [],
    past: {
      connections: [{ address: "198.18.0.1", port: 443, guestPort: 40_000 }],
      names: ["api.example.com"],
      placeholders: [{ secret: "KEY", placeholder: "DENO_SECRET_PLACEHOLDER_0" }],
    },
    environment: { LANG: "C.UTF-8" },
  },
};

async function save(t: TestContext): Promise<{ files: SavedFiles; saved: SavedMachine }> {
  const files = savedFiles(temporaryDirectory(t));
  writeFileSync(files.memoryPath, "memory");
  writeFileSync(files.statePath, "state");
  const saved = await describeSaved(sampleSandbox() as SandboxRow, ANSWER, files);
  writeFileSync(files.recordPath, JSON.stringify(saved));
  return { files, saved };
}

test("what was saved is read back as it was", async (t) => {
  const { files, saved } = await save(t);
  assert.deepEqual(await openSaved(files, "warm"), saved);
  assert.deepEqual(saved.egress, ANSWER.memories.egress);
  assert.deepEqual(saved.past, ANSWER.memories.past);
  assert.equal(JSON.stringify(saved).includes("value"), false, "no value of a secret is in it");
});

const DAMAGE: Record<string, [damage: (files: SavedFiles) => void, says: RegExp]> = {
  "a memory that was written to": [(f) => appendFileSync(f.memoryPath, "x"), /memory was changed after it was saved/],
  "a memory with another time": [(f) => utimesSync(f.memoryPath, 1, 1), /memory was changed after it was saved/],
  "a state that was replaced": [(f) => writeFileSync(f.statePath, "other"), /state was changed after it was saved/],
  "a missing memory": [(f) => rmSync(f.memoryPath), /is missing \(ENOENT\)/],
  "a missing record": [(f) => rmSync(f.recordPath), /machine\.json cannot be read/],
  "a record that is no JSON": [(f) => writeFileSync(f.recordPath, "{"), /machine\.json cannot be read/],
  "a record of a later schema": [(f) => edit(f, (record) => (record.schema = 2)), /machine\.json cannot be read/],
  "a record without an environment": [(f) => edit(f, (record) => delete record.environment), /cannot be read/],
  "a record with a connection to no port": [
    (f) => edit(f, (record) => (record.past = { ...ANSWER.memories.past, connections: [{ port: 70_000 }] })),
    /cannot be read/,
  ],
  "a record of another content": [
    (f) => edit(f, (record) => (record.stateSha256 = "0".repeat(64))),
    /the content of .*state is not what was saved/,
  ],
};

function edit({ recordPath }: SavedFiles, change: (record: Record<string, unknown>) => void): void {
  const record = JSON.parse(readFileSync(recordPath, "utf8")) as Record<string, unknown>;
  change(record);
  writeFileSync(recordPath, JSON.stringify(record));
}

for (const [what, [damage, says]] of Object.entries(DAMAGE)) {
  test(`${what} is named, and the checkpoint is not used`, async (t) => {
    const { files } = await save(t);
    damage(files);
    await assert.rejects(openSaved(files, "warm"), (error: Error & { code?: string; hint?: string }) => {
      assert.equal(error.code, "checkpoint_broken");
      assert.match(error.message, says);
      assert.match(error.message, /^checkpoint warm cannot be used: /);
      assert.equal(error.hint, "sbx checkpoint remove warm");
      return true;
    });
  });
}

test("a machine is restored by the QEMU and the machine's shape that it was saved by, and by no other", async (t) => {
  const { saved } = await save(t);
  checkShape(saved, QEMU, "warm");
  assert.throws(() => checkShape(saved, { version: "8.2.0" }, "warm"), {
    code: "checkpoint_broken",
    message: "checkpoint warm cannot be used: it was saved by QEMU 7.2.0 (Debian), and this is QEMU 8.2.0",
  });
  assert.throws(() => checkShape({ ...saved, shape: "0".repeat(32) }, QEMU, "warm"), {
    code: "checkpoint_broken",
    message: /by another version of sbx/,
  });
  const other = { ...saved, machine: { ...saved.machine, cpus: 4 } };
  assert.throws(() => checkShape(other, QEMU, "warm"), { code: "checkpoint_broken" });
});

test("the directory of a record is where its files are, wherever it lies", () => {
  assert.deepEqual(savedFiles("/a/b"), {
    directory: "/a/b",
    memoryPath: path.join("/a/b", "memory"),
    statePath: path.join("/a/b", "state"),
    recordPath: path.join("/a/b", "machine.json"),
  });
});
