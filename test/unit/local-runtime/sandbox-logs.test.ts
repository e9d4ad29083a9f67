/** Logs are shown whole and once, also while they are written, rotated and removed. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { readLogs } from "../../../src/runtime/local/watch/sandbox-logs.ts";
import type { LogLine, LogOptions } from "../../../src/runtime/watching.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

async function texts(directory: string, options: LogOptions = {}): Promise<string[]> {
  const lines: string[] = [];
  for await (const { source, text } of readLogs(directory, { isOver: () => true, ...options }))
    lines.push(`${source}: ${text}`);
  return lines;
}

const record = (time: number, text: string, process?: object): string =>
  `${JSON.stringify({ time, text, ...process })}\n`;

test("lines of all sources come by time, the rotated part first, with a last line that has no end", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "console.log.1"), record(1, "one\ntwo"));
  writeFileSync(path.join(directory, "console.log"), `${record(4, "three\r\n\r\nfour")}half a rec`);
  writeFileSync(path.join(directory, "supervisor.log"), '{"time":3,"message":"stopping"}\nError: not JSON\n');
  writeFileSync(path.join(directory, "process.log"), record(2, "\nhello", { pid: 7, stream: "stderr" }));
  assert.deepEqual(await texts(directory), [
    ...["console: one", "console: two", "process: ", "process: hello", "supervisor: stopping"],
    ...["supervisor: Error: not JSON", "console: three", "console: four", "console: half a rec"],
  ]);
});

test("a line of a process tells which one and which of its outputs", async (t) => {
  const directory = temporaryDirectory(t);
  const event = { pid: 7, stream: "event" } as const;
  writeFileSync(path.join(directory, "process.log"), record(5, "exited with status 0", event));
  const lines: LogLine[] = [];
  for await (const line of readLogs(directory, { isOver: () => true })) lines.push(line);
  assert.deepEqual(lines, [{ time: 5, source: "process", text: "exited with status 0", process: event }]);
});

test("what a guest writes cannot pass for a record: it is text within one", async (t) => {
  const directory = temporaryDirectory(t);
  const forged = record(1, "forged", { pid: 1, stream: "event" }).trim();
  writeFileSync(path.join(directory, "console.log"), record(9, forged));
  assert.deepEqual(await texts(directory), [`console: ${forged}`]);
});

test("a tail counts lines that are wanted, a time and sources choose them", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "console.log"), record(1, "a") + record(3, "b") + record(5, "c"));
  writeFileSync(path.join(directory, "vm.log"), `${record(4, "d")}without a time\n`);
  assert.deepEqual(await texts(directory, { tail: 2 }), ["vm: without a time", "console: c"]);
  assert.deepEqual(await texts(directory, { tail: 0 }), []);
  assert.deepEqual(await texts(directory, { sources: ["console"], tail: 2 }), ["console: b", "console: c"]);
  assert.deepEqual(await texts(directory, { since: 4 }), ["vm: d", "vm: without a time", "console: c"]);
});

test("a log of half a million lines is shown, and its last ones", async (t) => {
  const directory = temporaryDirectory(t);
  const block = record(1, "y\n".repeat(4000).trim(), { pid: 7, stream: "stdout" });
  writeFileSync(path.join(directory, "process.log.1"), block.repeat(60));
  writeFileSync(
    path.join(directory, "process.log"),
    block.repeat(60) + record(2, "a\nb\nc", { pid: 7, stream: "stdout" }),
  );
  assert.deepEqual(await texts(directory, { tail: 4 }), ["process: y", "process: a", "process: b", "process: c"]);
  let count = 0;
  for await (const _ of readLogs(directory, { isOver: () => true })) count++;
  assert.equal(count, 120 * 4000 + 3);
});

test("a sandbox without logs has none", async () => {
  assert.deepEqual(await texts("/nowhere/at/all"), []);
});

test("following shows each line once: written in pieces, across a rotation, and after the directory is gone", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "console.log");
  writeFileSync(file, "first\nha");
  let over = false;
  const steps: Record<string, () => void> = {
    first: () => appendFileSync(file, "lf\n"),
    half: () => {
      appendFileSync(file, "last of the old\n");
      renameSync(file, `${file}.1`);
      writeFileSync(file, "first of the new, which is longer than all that the old one had\n");
    },
    "first of the new, which is longer than all that the old one had": () => {
      appendFileSync(file, Buffer.from([0xc3]));
      setTimeout(() => {
        appendFileSync(file, Buffer.from([0xa4, 0x0a]));
        rmSync(directory, { recursive: true });
        over = true;
      }, 300);
    },
  };
  const seen: string[] = [];
  for await (const { text } of readLogs(directory, { follow: true, isOver: () => over })) {
    seen.push(text);
    steps[text]?.();
  }
  const long = "first of the new, which is longer than all that the old one had";
  assert.deepEqual(seen, ["first", "half", "last of the old", long, "ä"]);
});

test("a follower that is slower than the log gets whatever is still kept", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "process.log");
  writeFileSync(file, "first\n");
  let over = false;
  const seen: string[] = [];
  for await (const { text } of readLogs(directory, { follow: true, isOver: () => over })) {
    seen.push(text);
    if (text !== "first") continue;
    appendFileSync(file, "last of the first file\n");
    for (const next of ["the second file\n", "the third file\n"]) {
      renameSync(file, `${file}.1`);
      writeFileSync(file, next);
    }
    over = true;
  }
  assert.deepEqual(seen, ["first", "last of the first file", "the second file", "the third file"]);
});

test("following shows each line of a log once that is emptied when it is full", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "supervisor.log");
  writeFileSync(file, "the first line\n");
  let over = false;
  const steps: Record<string, () => void> = {
    "the first line": () => {
      appendFileSync(file, "the last one\n");
      copyFileSync(file, `${file}.1`);
      truncateSync(file);
      appendFileSync(file, "new\n");
    },
    new: () => {
      over = true;
    },
  };
  const seen: string[] = [];
  for await (const { text } of readLogs(directory, { follow: true, isOver: () => over })) {
    seen.push(text);
    steps[text]?.();
  }
  assert.deepEqual(seen, ["the first line", "the last one", "new"]);
});

test("following ends with the signal", async (t) => {
  const abort = new AbortController();
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "vm.log"), "a\n");
  for await (const { text } of readLogs(directory, { follow: true, isOver: () => false, signal: abort.signal })) {
    assert.equal(text, "a");
    abort.abort();
  }
});
