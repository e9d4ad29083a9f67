/** Events of processes: what ran and how it ended, without its arguments, together, and not too many. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { AgentExit } from "../../../src/protocol/agent-calls.ts";
import type { NewEvent } from "../../../src/store/events/event-store.ts";
import { ProcessEvents } from "../../../src/supervisor/watch/process-events.ts";

const SANDBOX = { id: "sbx_loc_1", name: "web" };

function recorder() {
  const writes: NewEvent[][] = [];
  let now = 1000;
  const events = new ProcessEvents({ sandbox: SANDBOX, write: (some) => writes.push([...some]), now: () => now });
  const start = (argv: string[], exit: Promise<AgentExit> = new Promise(() => undefined)): void =>
    events.record({ pid: 7, argv, user: "app", hasTerminal: false, exit });
  return { events, writes, start, advance: (ms: number) => (now += ms) };
}

test("a process is recorded by its program, and its arguments are not", async () => {
  const { events, writes, start } = recorder();
  start(["/usr/bin/curl", "-H", "authorization: secret"], Promise.resolve({ code: 3, signal: null, oom: null }));
  await Promise.resolve();
  events.flush();
  assert.deepEqual(writes, [
    [
      {
        ...{ time: 1000, type: "process.started", sandbox: SANDBOX },
        detail: { pid: 7, program: "curl", user: "app", terminal: false },
      },
      {
        ...{ time: 1000, type: "process.ended", sandbox: SANDBOX },
        detail: { pid: 7, program: "curl", code: 3, signal: null, outOfMemory: false },
      },
    ],
  ]);
});

test("events are written together a moment later, and at the end at once", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { events, writes, start } = recorder();
    start(["a"]);
    start(["b"]);
    assert.equal(writes.length, 0, "starting a process does not wait for the database");
    mock.timers.tick(1000);
    assert.deepEqual(
      writes.map(({ length }) => length),
      [2],
    );
    start(["c"]);
    events[Symbol.dispose]();
    assert.deepEqual(
      writes.map(({ length }) => length),
      [2, 1],
    );
    mock.timers.tick(1000);
    assert.equal(writes.length, 2);
  } finally {
    mock.timers.reset();
  }
});

test("a client that starts very many has some recorded, and the next one tells how many were not", () => {
  const { events, writes, start, advance } = recorder();
  for (let count = 0; count < 1000; count++) start(["true"]);
  advance(60_000);
  start(["later"]);
  events.flush();
  const [written = []] = writes;
  assert.ok(written.length < 300);
  assert.equal(written.at(-1)?.detail?.skipped, 1000 - (written.length - 1));
});

test("a process whose sandbox ended first has no end of its own", async () => {
  const { events, writes, start } = recorder();
  start(["a"], Promise.reject(new Error("the link is gone")));
  await Promise.resolve();
  events.flush();
  assert.deepEqual(
    writes[0]?.map(({ type }) => type),
    ["process.started"],
  );
});
