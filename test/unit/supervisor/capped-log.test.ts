/** What a guest writes to its console is kept within bounds, and goes nowhere but to its file. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { CappedLog, LOG_CAP_BYTES, logLine } from "../../../src/supervisor/capped-log.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("a flood fills two files of the cap and no more, and its end is kept", (t) => {
  const file = path.join(temporaryDirectory(t), "console.log");
  using log = new CappedLog(file);
  for (let n = 0; n < 500; n += 1) log.write(`${n}${"x".repeat(10_000)}\n`);
  log.write("the end\n");
  assert.ok(statSync(file).size <= LOG_CAP_BYTES);
  assert.ok(statSync(`${file}.1`).size <= LOG_CAP_BYTES);
  assert.ok(readFileSync(file, "utf8").endsWith("the end\n"));
});

test("one write that is longer than the cap is cut", (t) => {
  const file = path.join(temporaryDirectory(t), "console.log");
  using log = new CappedLog(file);
  log.write(Buffer.alloc(3 * LOG_CAP_BYTES));
  log.write("x");
  assert.ok(statSync(file).size + statSync(`${file}.1`).size <= 2 * LOG_CAP_BYTES);
});

test("a log that goes on counts what was there before", (t) => {
  const file = path.join(temporaryDirectory(t), "console.log");
  {
    using first = new CappedLog(file);
    first.write(Buffer.alloc(LOG_CAP_BYTES - 10));
  }
  using second = new CappedLog(file);
  second.write("more than ten bytes");
  assert.equal(statSync(file).size, 19);
});

test("when the directory is gone, lines are lost and never reach another file that was opened since", (t) => {
  const directory = path.join(temporaryDirectory(t));
  const other = path.join(temporaryDirectory(t), "other");
  const log = new CappedLog(path.join(directory, "console.log"));
  rmSync(directory, { recursive: true });
  log.write(Buffer.alloc(LOG_CAP_BYTES));
  log.write("the guest's words"); // the rotation fails here
  const opened = [openSync(other, "a"), openSync(other, "a")];
  log.write("the guest's words");
  log[Symbol.dispose]();
  log.write("the guest's words");
  assert.equal(readFileSync(other, "utf8"), "");
  for (const descriptor of opened) closeSync(descriptor);
});

test("a line of the supervisor's own log carries its time, and a missing directory is no failure", (t) => {
  const file = path.join(temporaryDirectory(t), "supervisor.log");
  logLine(file, "a \n b");
  const { time, message } = JSON.parse(readFileSync(file, "utf8")) as { time: number; message: string };
  assert.equal(message, "a \n b");
  assert.ok(time > 1e12);
  logLine("/nowhere/at/all", "lost");
});

test("the supervisor's own log stays within the cap, keeps what came last, and stays the file that is its stderr", (t) => {
  const file = path.join(temporaryDirectory(t), "supervisor.log");
  const stderr = openSync(file, "a");
  for (let n = 0; n < 1100; n += 1) logLine(file, `${n} ${"x".repeat(2000)}`);
  for (let n = 0; n < 3; n += 1) logLine(file, "y".repeat(10 * LOG_CAP_BYTES));
  writeSync(stderr, "Error: a crash\n");
  closeSync(stderr);
  assert.ok(statSync(file).size <= LOG_CAP_BYTES);
  assert.ok(statSync(`${file}.1`).size <= LOG_CAP_BYTES);
  assert.equal(statSync(`${file}.1`).mode & 0o777, 0o600);
  const whole = readFileSync(`${file}.1`, "utf8") + readFileSync(file, "utf8");
  assert.match(whole, /"message":"1099 x/);
  assert.ok(whole.endsWith("Error: a crash\n"));
});

test("what Node itself wrote to the log counts, and only its end is kept when the log is emptied", (t) => {
  const file = path.join(temporaryDirectory(t), "supervisor.log");
  writeFileSync(file, `${"x".repeat(3 * LOG_CAP_BYTES)}the end`);
  logLine(file, "next");
  assert.equal(statSync(`${file}.1`).size, LOG_CAP_BYTES);
  assert.ok(readFileSync(`${file}.1`, "utf8").endsWith("xthe end"));
  assert.match(readFileSync(file, "utf8"), /^\{"time":\d+,"message":"next"\}\n$/);
});
