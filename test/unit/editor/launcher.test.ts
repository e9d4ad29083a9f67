/** The program that starts VS Code in a guest may print anything, fail, or never end, whatever it is told. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { runLauncher } from "../../../src/runtime/local/editor/launcher.ts";
import type { ExecSession, Sandbox } from "../../../src/runtime/runtime.ts";

const START = { action: "start", gallery: false } as const;

interface Program {
  stdout: Readable;
  stderr: Readable;
  exit: Promise<{ code: number }>;
}

/** A sandbox in which every command does this. */
function sandbox(program: Partial<Program>): Pick<Sandbox, "exec" | "id" | "info"> & { disposed: number } {
  const box = {
    ...{ id: "sbx_loc_x", info: { name: "box" } as Sandbox["info"], disposed: 0 },
    exec: async () =>
      ({
        ...{ stdout: Readable.from([]), stderr: Readable.from([]), exit: Promise.resolve({ code: 0 }), ...program },
        [Symbol.asyncDispose]: async () => {
          box.disposed++;
        },
      }) as unknown as ExecSession,
  };
  return box;
}

const silent = (): Readable => new Readable({ read: () => undefined });
const endless: Partial<Program> = { stdout: silent(), stderr: silent(), exit: new Promise(() => undefined) };

test("what it printed is the answer; of an endless output the beginning is looked at", async () => {
  const one = sandbox({ stdout: Readable.from([Buffer.from('{"stopped":'), Buffer.from("true}")]) });
  assert.deepEqual(await runLauncher(one, { action: "stop" }, {}), { stopped: true });
  const flood = sandbox({ stdout: Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(10_000, "[1],"))) });
  await assert.rejects(runLauncher(flood, START, {}), { code: "guest_error" });
});

test("its last words are the cause where it fails, and its log is named", async () => {
  const failing = sandbox({ stderr: Readable.from([Buffer.from("no room\n")]), exit: Promise.resolve({ code: 1 }) });
  await assert.rejects(runLauncher(failing, START, {}), (error: Error & { hint?: string }) => {
    assert.equal((error.cause as Error).message, "no room");
    assert.match(error.hint ?? "", /^sbx exec box -- cat .*server\.log$/);
    return true;
  });
});

test("one that does not end when it must is left alone: at the limit, and when the caller gives up", async () => {
  const one = sandbox(endless);
  await assert.rejects(runLauncher(one, START, {}, 10), { code: "timeout", message: /did not start within/ });
  const stop = new AbortController();
  const call = runLauncher(one, START, { signal: stop.signal });
  stop.abort();
  await assert.rejects(call, { code: "aborted" });
  assert.equal(one.disposed, 2);
});
