import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { openProgress, LINE_INTERVAL_MS, QUIET_START_MS } from "../../../../src/cli/progress/progress.ts";
import { progressBar, progressLine } from "../../../../src/cli/progress/progress-text.ts";
import type { ProgressEvent } from "../../../../src/runtime/types.ts";
import { Collector } from "../run-command.ts";

const MIB = 1024 ** 2;

/** Time that a test sets, for timers and performance.now alike. */
function clock(context: TestContext): (ms: number) => void {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  context.mock.method(performance, "now", () => now);
  return (ms) => {
    now += ms;
    context.mock.timers.tick(ms);
  };
}

test("what is over within half a second shows nothing", (context) => {
  const pass = clock(context);
  const stream = new Collector();
  using progress = openProgress({ stream, env: {}, silent: false });
  progress.onProgress({ stage: "image", message: "Building" });
  pass(QUIET_START_MS - 1);
  progress.stop();
  pass(LINE_INTERVAL_MS);
  assert.equal(stream.text, "");
});

test("without a terminal there is a line for each stage, and seldom one for a stage that lasts", (context) => {
  const pass = clock(context);
  const stream = new Collector();
  using progress = openProgress({ stream, env: {}, silent: false });
  progress.onProgress({ stage: "download", message: "Downloading", done: 0, total: 100 * MIB, unit: "bytes" });
  pass(QUIET_START_MS);
  for (let second = 1; second <= 20; second++) {
    progress.onProgress({
      stage: "download",
      message: "Downloading",
      done: second * MIB,
      total: 100 * MIB,
      unit: "bytes",
    });
    pass(1000);
  }
  progress.onProgress({ stage: "unpack", message: "Unpacking" });
  pass(500);
  assert.deepEqual(stream.text.split("\n"), [
    "Downloading  0%  0 B of 100 MiB",
    "Downloading  10%  10 MiB of 100 MiB",
    "Downloading  20%  20 MiB of 100 MiB",
    "Unpacking",
    "",
  ]);
});

test("with --quiet nothing is shown at all", (context) => {
  const pass = clock(context);
  const stream = new Collector();
  using progress = openProgress({ stream, env: {}, silent: true });
  progress.onProgress({ stage: "a", message: "A" });
  pass(100_000);
  assert.equal(stream.text, "");
});

test("a name that a guest chose cannot reach the terminal through progress", () => {
  assert.equal(progressLine({ stage: "copy", message: "a\u001b[2J\nb" }), "a\\e[2J\\nb");
});

test("the bar fits the terminal and shows how far it is", () => {
  const event: ProgressEvent = { stage: "copy", message: "Copying", done: 50 * MIB, total: 200 * MIB, unit: "bytes" };
  assert.equal(
    progressBar(event, 80, 10 * MIB),
    "Copying  [======>                 ]  25%  50 MiB of 200 MiB  10 MiB/s",
  );
  assert.equal(progressBar(event, 50), "Copying  [===>           ]  25%  50 MiB of 200 MiB");
  for (let width = 1; width < 100; width++)
    assert.ok(progressBar(event, width, 10 * MIB).length <= width, String(width));
  assert.equal(
    progressBar({ ...event, done: 200 * MIB }, 80),
    "Copying  [========================]  100%  200 MiB of 200 MiB",
  );
  assert.equal(progressBar({ stage: "x", message: "Files", done: 7, unit: "files" }, 80), "Files  7 files");
});
