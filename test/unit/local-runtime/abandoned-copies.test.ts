/** A killed copy leaves a directory where the user copied to; the next command removes that, and nothing else there. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { recordStaging } from "../../../src/runtime/local/abandoned-copies.ts";
import { openState } from "../../../src/runtime/local/state.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const ABANDONED = "INSERT INTO staging (path, pid, start) VALUES (?, ?, '1')";

/** A process id that was in use a moment ago and is not now. */
function deadPid(): number {
  return Number(execFileSync(process.execPath, ["-e", "console.log(process.pid)"], { encoding: "utf8" }));
}

/** A directory with these files in it, recorded in the name of a process that is gone. */
async function abandon(env: NodeJS.ProcessEnv, directory: string, pid: number, files: string[]): Promise<void> {
  mkdirSync(directory);
  for (const name of files) writeFileSync(path.join(directory, name), "half");
  using state = await openState(env);
  state.database.prepare(ABANDONED).run(directory, pid);
}

function records(state: { database: { prepare(sql: string): { all(): unknown[] } } }): unknown[] {
  return state.database.prepare("SELECT path FROM staging").all();
}

function setUp(t: TestContext): { env: NodeJS.ProcessEnv; destination: string } {
  return { env: { SBX_HOME: temporaryDirectory(t) }, destination: temporaryDirectory(t) };
}

test("the next command removes what a killed copy left at its destination, and the record of it", async (t) => {
  const { env, destination } = setUp(t);
  const pid = deadPid();
  writeFileSync(path.join(destination, "of the user"), "kept");
  await abandon(env, path.join(destination, `.sbx-copy-${pid}-1-abcdef`), pid, ["0", "17"]);
  using state = await openState(env);
  assert.deepEqual(readdirSync(destination), ["of the user"]);
  assert.deepEqual(records(state), []);
});

test("what else lies in such a directory, or has another name, is not touched, and is not looked at again", async (t) => {
  const { env, destination } = setUp(t);
  const pid = deadPid();
  const mixed = path.join(destination, `.sbx-copy-${pid}-1-abcdef`);
  const foreign = path.join(destination, "holiday");
  await abandon(env, mixed, pid, ["0", "letter.txt"]);
  await abandon(env, foreign, pid, ["0"]);
  using state = await openState(env);
  assert.deepEqual(readdirSync(mixed), ["letter.txt"]);
  assert.deepEqual(readdirSync(foreign), ["0"]);
  assert.deepEqual(records(state), []);
});

test("a destination that is not there any more is no failure", async (t) => {
  const { env, destination } = setUp(t);
  {
    using state = await openState(env);
    state.database.prepare(ABANDONED).run(path.join(destination, "gone/.sbx-copy-1-1-abcdef"), deadPid());
  }
  using state = await openState(env);
  assert.deepEqual(records(state), []);
});

test("a copy that is under way keeps its directory and its record, until it ends", async (t) => {
  const { env, destination } = setUp(t);
  using state = await openState(env);
  const directory = path.join(destination, `.sbx-copy-${process.pid}-0-abcdef`);
  mkdirSync(directory);
  {
    using _record = recordStaging(state.staging, path.relative(process.cwd(), directory));
    using other = await openState(env);
    assert.ok(existsSync(directory));
    assert.deepEqual(
      records(other).map((row) => ({ ...(row as object) })),
      [{ path: directory }],
    );
  }
  assert.deepEqual(records(state), []);
});

test("a copy goes on when its directory cannot be recorded", async (t) => {
  const { env } = setUp(t);
  using state = await openState(env);
  state.database.exec("DROP TABLE staging");
  using _record = recordStaging(state.staging, "/some/where");
});
