/** What the hook process prints, on its way to the sandbox's log. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { HookLog } from "../../../src/egress/hooks/hook-log.ts";

async function logOf(chunks: readonly (string | Buffer)[], now?: () => number): Promise<string[]> {
  const lines: string[] = [];
  const stream = new PassThrough();
  const ended = new Promise((resolve) => stream.once("end", resolve));
  new HookLog((line) => lines.push(line), now).follow(stream);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await ended;
  return lines;
}

test("lines come out whole wherever the output is cut", async () => {
  const bytes = Buffer.from("one\ntwo é\n\nthree");
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(await logOf([bytes.subarray(0, at), bytes.subarray(at)]), ["one", "two é", "three"]);
  }
});

test("what could command a terminal is shown instead", async () => {
  assert.deepEqual(await logOf(["\x1b]0;t\x07\ta\u202eb\r\n\u009b"]), ["\\x1b]0;t\\x07 a\\u{202e}b\\x0d", "\\x9b"]);
});

test("a long line is cut, however it arrives, and memory stays bounded", async () => {
  const lines = await logOf([...Array.from({ length: 1000 }, () => "x".repeat(10_000)), "\nnext\n"]);
  assert.deepEqual(lines, [`${"x".repeat(2000)}…`, "next"]);
});

test("of a flood only so many lines come through, and it is said how many did not", async () => {
  let now = 0;
  const lines: string[] = [];
  const stream = new PassThrough();
  new HookLog(
    (line) => lines.push(line),
    () => now,
  ).follow(stream);
  const write = (text: string) => new Promise((resolve) => (stream.write(text, resolve), stream.once("data", resolve)));
  await write("flood\n".repeat(1000));
  assert.equal(lines.length, 200);
  now += 1000;
  await write("flood\n".repeat(1000));
  assert.equal(lines.length, 200 + 1 + 50);
  assert.equal(lines[200], "800 lines of the hook left out");
});
