/** Answers in lines that go on for long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { BEAT_MS } from "../../../src/protocol/control-lines.ts";
import { itemLines, type LineAnswerOptions } from "../../../src/server/extensions/line-answer.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const OPTIONS: LineAnswerOptions = {
  open: () => ({ [Symbol.dispose]: () => undefined }),
  ending: new AbortController().signal,
  gone: new AbortController().signal,
  onFailure: () => undefined,
};
const BEATS = 50_000;

test("a stream that is quiet for months takes no more memory for it, and still brings what happens then", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const happens = Promise.withResolvers<string>();
  async function* source(): AsyncIterable<string> {
    yield await happens.promise;
  }
  const lines = itemLines(source(), OPTIONS)[Symbol.asyncIterator]();
  const beat = async (): Promise<void> => {
    const next = lines.next();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    t.mock.timers.tick(BEAT_MS);
    assert.equal((await next).value, "\n");
  };
  for (let at = 0; at < 100; at++) await beat();
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < BEATS; at++) await beat();
  collect();
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 2_000_000, `${grown} bytes`);
  happens.resolve("at last");
  assert.match(String((await lines.next()).value), /at last/);
});

test("what a quiet stream fails with is told", async () => {
  const failures: string[] = [];
  async function* source(): AsyncIterable<string> {
    await Promise.reject(new Error("broken"));
  }
  const lines: string[] = [];
  const onFailure = ({ code }: { code: string }): void => void failures.push(code);
  for await (const line of itemLines(source(), { ...OPTIONS, onFailure })) lines.push(line);
  assert.deepEqual(failures, ["INTERNAL"]);
  assert.equal(lines.length, 1);
});
