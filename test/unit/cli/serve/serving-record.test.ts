/** Who serves from a directory: found while it lives, and only then. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { findServing, recordServing } from "../../../../src/cli/serve/serving-record.ts";
import { identifyProcess, ownIdentity } from "../../../../src/host/process-identity.ts";
import { temporaryDirectory } from "../../store/temporary-directory.ts";

const FACTS = { url: "http://127.0.0.1:1", gateway: { domain: "localhost", port: 2 } };

test("a server is found until it says that it goes", (t) => {
  const directory = path.join(temporaryDirectory(t), "server");
  assert.equal(findServing(directory), undefined);
  const record = recordServing(directory, FACTS);
  assert.deepEqual(findServing(directory), { ...ownIdentity(), ...FACTS });
  record[Symbol.dispose]();
  assert.equal(findServing(directory), undefined);
});

test("one that was killed is not found, and neither is a process that has its number now", async (t) => {
  const directory = temporaryDirectory(t);
  const child = spawn("sleep", ["100"]);
  const identity = identifyProcess(child.pid ?? 0);
  assert.ok(identity);
  const write = (change: object): void =>
    writeFileSync(path.join(directory, "serving.json"), JSON.stringify({ ...identity, ...FACTS, ...change }));
  write({});
  assert.equal(findServing(directory)?.pid, child.pid);
  write({ startTicks: "1" });
  assert.equal(findServing(directory), undefined);
  write({});
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(findServing(directory), undefined);
});

test("a record that another server has replaced stays, and one that is none is no server", (t) => {
  const directory = temporaryDirectory(t);
  const record = recordServing(directory, FACTS);
  const file = path.join(directory, "serving.json");
  writeFileSync(file, JSON.stringify({ ...ownIdentity(), pid: 1, ...FACTS }));
  record[Symbol.dispose]();
  assert.ok(existsSync(file));
  for (const broken of ["", "{}", "[1]", '{"pid":1}']) {
    writeFileSync(file, broken);
    assert.equal(findServing(directory), undefined);
  }
});
