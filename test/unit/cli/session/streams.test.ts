import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { test, type TestContext } from "node:test";
import { forwardSignals, MUST_END_GRACE_MS } from "../../../../src/cli/session/signals.ts";
import { copyInput, copyOutput } from "../../../../src/cli/session/streams.ts";
import { Interrupt } from "../../../../src/cli/interrupt.ts";
import { takeTerminal, terminalSize } from "../../../../src/cli/terminal/terminal.ts";

test("output is complete when its last byte was accepted, and the destination stays open", async () => {
  const source = new PassThrough();
  const destination = new PassThrough();
  const copied = copyOutput(source, destination);
  source.end("all of it");
  assert.equal(await copied, "complete");
  assert.equal(destination.writableEnded, false);
  assert.equal(String(destination.read()), "all of it");
});

test("output whose reader went away is reported, before and while it is copied", async () => {
  const broken = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error("EPIPE"), { code: "EPIPE" })),
  });
  const source = new PassThrough();
  source.write("x");
  assert.equal(await copyOutput(source, broken), "reader-gone");
  assert.equal(await copyOutput(new PassThrough(), broken), "reader-gone");
});

test("output that breaks off is a failure, as is a disk that is full", async () => {
  const source = new PassThrough();
  const copied = copyOutput(source, new PassThrough());
  source.destroy();
  await assert.rejects(copied, { code: "connection_closed" });
  const full = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error("ENOSPC"), { code: "ENOSPC" })),
  });
  const other = new PassThrough();
  other.write("x");
  await assert.rejects(copyOutput(other, full), /ENOSPC/);
});

test("output leaves no listener behind", async () => {
  const destination = new PassThrough();
  const before = destination.listenerCount("error") + destination.listenerCount("close");
  for (let round = 0; round < 20; round++) await copyOutput(Readable.from(["x"]), destination);
  assert.equal(destination.listenerCount("error") + destination.listenerCount("close"), before);
});

test("input ends the guest's stdin when ours ends, and not when the session does", async () => {
  const ended = new PassThrough();
  using first = copyInput(Readable.from(["abc"]), ended);
  assert.ok(first);
  assert.equal(String(await ended.toArray()), "abc");
  const source = new PassThrough();
  const open = new PassThrough();
  copyInput(source, open)[Symbol.dispose]();
  source.write("later");
  assert.equal(open.read(), null);
  assert.equal(source.isPaused(), true);
});

test("a guest that closes its stdin is no failure", async () => {
  const source = new PassThrough();
  const destination = new PassThrough();
  using input = copyInput(source, destination);
  destination.destroy(new Error("EPIPE"));
  source.write("x");
  const outcome = await Promise.race([
    input.failed.catch(() => "failed"),
    new Promise((resolve) => setImmediate(resolve, "fine")),
  ]);
  assert.equal(outcome, "fine");
});

test("a terminal that was hung up is the end of input; a file that cannot be read is a failure", async () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true });
  const destination = new PassThrough();
  using input = copyInput(terminal, destination);
  assert.ok(input);
  terminal.destroy(Object.assign(new Error("EIO"), { code: "EIO" }));
  assert.deepEqual(await destination.toArray(), []);
  const file = new PassThrough();
  using other = copyInput(file, new PassThrough());
  file.destroy(Object.assign(new Error("EIO"), { code: "EIO" }));
  await assert.rejects(other.failed, /EIO/);
});

/** What a guest is sent when sbx gets a signal and time passes. */
function sentAfter(context: TestContext, signal: string, terminal: boolean, ms: number): string[] {
  context.mock.timers.reset();
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const source = new EventEmitter();
  const sent: string[] = [];
  using interrupt = new Interrupt(
    source,
    () => 0,
    () => undefined,
  );
  using forwarder = forwardSignals(interrupt, { signal: (name) => sent.push(name) }, { terminal, now: () => 0 });
  assert.ok(forwarder);
  source.emit(signal);
  context.mock.timers.tick(ms);
  return sent;
}

test("a guest that outlives its terminal is killed after a grace", (context) => {
  assert.deepEqual(sentAfter(context, "SIGHUP", false, MUST_END_GRACE_MS - 1), ["SIGHUP"]);
  assert.deepEqual(sentAfter(context, "SIGHUP", false, MUST_END_GRACE_MS), ["SIGHUP", "SIGKILL"]);
});

test("SIGTERM ends a session with a terminal, whose shell ignores it; without one the command decides", (context) => {
  assert.deepEqual(sentAfter(context, "SIGTERM", true, MUST_END_GRACE_MS), ["SIGTERM", "SIGKILL"]);
  assert.deepEqual(sentAfter(context, "SIGTERM", false, 10 * MUST_END_GRACE_MS), ["SIGTERM"]);
});

test("the terminal is raw again after the program was stopped and continued, and right at the end", () => {
  const modes: boolean[] = [];
  const sizes: unknown[] = [];
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) });
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 90, rows: 30 });
  const signals = new EventEmitter();
  const terminal = takeTerminal({
    ...{ stdin, stdout, signals },
    onResize: (size) => sizes.push(size),
    onResume: () => sizes.push("resumed"),
  });
  signals.emit("SIGCONT");
  assert.deepEqual(modes, [true, true]);
  stdout.emit("resize");
  assert.deepEqual(sizes, ["resumed", { cols: 90, rows: 30 }]);
  terminal[Symbol.dispose]();
  terminal[Symbol.dispose]();
  assert.deepEqual(modes, [true, true, false]);
  assert.deepEqual(signals.eventNames(), []);
});

test("a stream that is no terminal is left alone, and has a size all the same", () => {
  const stdout = new PassThrough();
  assert.deepEqual(terminalSize(stdout), { cols: 80, rows: 24 });
  assert.deepEqual(terminalSize(Object.assign(new PassThrough(), { columns: 0, rows: 1e9 })), {
    cols: 80,
    rows: 65_535,
  });
  const terminal = takeTerminal({
    stdin: new PassThrough(),
    stdout,
    signals: new EventEmitter(),
    onResize: () => undefined,
    onResume: () => undefined,
  });
  terminal[Symbol.dispose]();
  assert.equal(stdout.read(), null);
});
