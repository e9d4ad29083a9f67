import assert from "node:assert/strict";
import { test } from "node:test";
import type { AppLogLine } from "../../../src/runtime/apps.ts";
import { streamLogs } from "../../../src/runtime/app-log-stream.ts";

const line = (time: number, message: string): AppLogLine =>
  ({ time, message, level: "info", revision: "r" }) as unknown as AppLogLine;

test("lines come once each as they are logged, also several of one time, until the end has passed", async () => {
  const lines = [line(1, "before"), line(10, "a"), line(10, "b")];
  const clock = { now: 50 };
  const read = async (since: number): Promise<AppLogLine[]> => lines.filter(({ time }) => time >= since);
  const messages: string[] = [];
  const options = { since: 5, until: 100, now: () => clock.now, signal: new AbortController().signal };
  for await (const { message } of streamLogs(read, options)) {
    messages.push(message);
    if (message === "b") setTimeout(() => lines.push(line(10, "c"), line(20, "d")), 10);
    if (message === "d") clock.now = 100;
  }
  assert.deepEqual(messages, ["a", "b", "c", "d"]);
});

test("without an end it follows until its reader is gone", async () => {
  const controller = new AbortController();
  const options = { since: 0, until: undefined, now: () => 0, signal: controller.signal };
  const messages: string[] = [];
  for await (const { message } of streamLogs(async () => [line(1, "one")], options)) {
    messages.push(message);
    setTimeout(() => controller.abort(), 20);
  }
  assert.deepEqual(messages, ["one"]);
});
