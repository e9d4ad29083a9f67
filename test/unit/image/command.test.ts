import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { CommandFailure, runCommand } from "../../../src/vm/image/command.ts";

/** Waits until a process is gone; a test that waits for ever is ended by the runner. */
async function untilGone(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await delay(20);
}

test("a program's stdout is returned, and its arguments arrive as they are", async () => {
  const argv = ["printf", "%s|", "a b", "", "$HOME", "'"] as const;
  assert.equal((await runCommand(argv)).toString(), "a b||$HOME|'|");
});

test("stdin is fed, also to a program that does not read all of it", async () => {
  assert.equal((await runCommand(["cat"], { stdin: "text" })).toString(), "text");
  assert.equal((await runCommand(["true"], { stdin: Buffer.alloc(4 * 1024 * 1024) })).length, 0);
});

test("each line of stderr is passed on, and the last ones are in the failure", async () => {
  const lines: string[] = [];
  const script = "for i in $(seq 1 100); do echo line $i >&2; done; exit 3";
  const failing = runCommand(["sh", "-c", script], { onLine: (line) => lines.push(line) });
  await assert.rejects(failing, (error: unknown) => {
    assert.ok(error instanceof CommandFailure);
    assert.equal(error.message, "sh ended with status 3");
    assert.ok(error.output.endsWith("line 100"));
    assert.equal(error.output.split("\n").length, 40);
    return true;
  });
  assert.equal(lines.length, 100);
});

test("a program that is not there is a failure that names it", async () => {
  await assert.rejects(runCommand(["no-such-program-at-all"]), /no-such-program-at-all could not be started/);
});

test("an abort ends the program and everything that it started", async () => {
  const stop = new AbortController();
  let grandchild = 0;
  const script = "sleep 1000 & echo $! >&2; wait";
  const running = runCommand(["sh", "-c", script], {
    signal: stop.signal,
    onLine: (line) => {
      grandchild = Number(line);
      stop.abort();
    },
  });
  await assert.rejects(running, { name: "AbortError" });
  await untilGone(grandchild);
});

test("a program that ignores SIGTERM is ended all the same", async () => {
  const stop = new AbortController();
  const script = "trap '' TERM; echo ready >&2; while :; do sleep 1; done";
  const running = runCommand(["sh", "-c", script], { signal: stop.signal, onLine: () => stop.abort() });
  await assert.rejects(running, { name: "AbortError" });
});

test("nothing is started when it was aborted before", async () => {
  await assert.rejects(runCommand(["true"], { signal: AbortSignal.abort() }), { name: "AbortError" });
});
