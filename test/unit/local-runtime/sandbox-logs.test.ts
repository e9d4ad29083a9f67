/** Logs are shown whole and once, also while they are written, rotated and removed. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { readLogs } from "../../../src/runtime/local/sandbox-logs.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

async function texts(directory: string, tail?: number): Promise<string[]> {
  const lines: string[] = [];
  const options = { isOver: () => true, ...(tail === undefined ? {} : { tail }) };
  for await (const { source, text } of readLogs(directory, options)) lines.push(`${source}: ${text}`);
  return lines;
}

test("sources come one after the other, the rotated part first, with a last line that has no end", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "console.log"), "three\r\n\r\nfour");
  writeFileSync(path.join(directory, "console.log.1"), "one\ntwo\n");
  writeFileSync(path.join(directory, "supervisor.log"), '{"time":5,"message":"stopping"}\nError: not JSON\n');
  assert.deepEqual(await texts(directory), [
    "supervisor: stopping",
    "supervisor: Error: not JSON",
    ...["console: one", "console: two", "console: three", "console: four"],
  ]);
});

test("a tail counts lines of each source", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "console.log"), "a\nb\nc\n");
  writeFileSync(path.join(directory, "vm.log"), "d\n");
  assert.deepEqual(await texts(directory, 2), ["vm: d", "console: b", "console: c"]);
  assert.deepEqual(await texts(directory, 0), []);
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
