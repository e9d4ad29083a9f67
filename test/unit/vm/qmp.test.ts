/** The monitor's other end may be in the guest's hands: replies are matched, events pass, nonsense ends the session. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { Qmp } from "../../../src/vm/qmp.ts";

/** Takes commands, and answers only what a test tells it to. */
class Monitor extends Duplex {
  readonly commands: { execute: string; id: number }[] = [];

  override _read(): void {
    // Data comes by `say`.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    for (const line of chunk.toString().trim().split("\n"))
      this.commands.push(JSON.parse(line) as Monitor["commands"][0]);
    done();
  }

  say(...messages: unknown[]): void {
    for (const message of messages) this.push(`${JSON.stringify(message)}\r\n`);
  }
}

function open(): { monitor: Monitor; qmp: Qmp } {
  const monitor = new Monitor();
  const qmp = new Qmp(monitor);
  monitor.say({ QMP: { version: {}, capabilities: [] } }, { return: {}, id: 1 });
  return { monitor, qmp };
}

test("capabilities are negotiated first, and replies find their commands in any order, between events", async () => {
  const { monitor, qmp } = open();
  const events: unknown[] = [];
  qmp.onEvent((event) => events.push(event));
  const [first, second] = [qmp.execute("query-status"), qmp.execute("query-migrate")];
  monitor.say(
    { return: { status: "completed" }, id: 3 },
    { event: "STOP", data: { why: 1 }, timestamp: {} },
    { event: "RESUME" },
    { return: { running: true }, id: 2 },
  );
  assert.deepEqual(await first, { running: true });
  assert.deepEqual(await second, { status: "completed" });
  assert.deepEqual(events, [
    { event: "STOP", data: { why: 1 } },
    { event: "RESUME", data: {} },
  ]);
  assert.deepEqual(
    monitor.commands.map(({ execute }) => execute),
    ["qmp_capabilities", "query-status", "query-migrate"],
  );
});

test("a refusal carries QEMU's own words, cut to a message's length", async () => {
  const { monitor, qmp } = open();
  const refused = qmp.execute("cont");
  monitor.say({ error: { class: "GenericError", desc: `no: ${"x".repeat(5000)}` }, id: 2 });
  await assert.rejects(refused, (error: Error) => {
    assert.match(error.message, /^QEMU refused a command: no: x+$/);
    assert.ok(error.message.length < 600);
    return true;
  });
  const next = qmp.execute("x");
  monitor.say({ return: 1, id: 3 });
  assert.equal(await next, 1);
});

test("lines may arrive in any pieces", async () => {
  const { monitor, qmp } = open();
  const answer = qmp.execute("query-status");
  for (const byte of Buffer.from('{"return": "grüße", "id": 2}\n')) monitor.push(Buffer.from([byte]));
  assert.equal(await answer, "grüße");
});

test("an answer may be megabytes long: QEMU tells of every layer of every disk", async () => {
  const { monitor, qmp } = open();
  const answer = qmp.execute("query-blockstats");
  const text = "x".repeat(1024);
  monitor.push(Buffer.from('{"return": ["'));
  for (let part = 0; part < 4096; part++) monitor.push(Buffer.from(text));
  monitor.push(Buffer.from('"], "id": 2}\n'));
  assert.deepEqual(await answer, [text.repeat(4096)]);
});

test("replies to commands that were never sent are ignored", async () => {
  const { monitor, qmp } = open();
  monitor.say({ return: 1, id: 99 }, { return: 1, id: "2" }, { return: 1 }, { id: null }, {});
  const answer = qmp.execute("x");
  monitor.say({ return: 5, id: 2 });
  assert.equal(await answer, 5);
});

for (const [what, bytes] of [
  ["a line that is no JSON", "hello\n"],
  ["a line that is no object", "[1]\n"],
  ["a line without an end", "x".repeat(16 * 1024 * 1024 + 1)],
] as const) {
  test(`${what} ends the session, for commands under way and later ones`, async () => {
    const { monitor, qmp } = open();
    const waiting = qmp.execute("x");
    monitor.push(bytes);
    await assert.rejects(waiting, /the monitor sent/);
    await assert.rejects(qmp.execute("y"), /the monitor sent/);
    assert.equal(monitor.destroyed, true);
  });
}

test("no listener hears anything after the session was ended", async () => {
  const { monitor, qmp } = open();
  const events: unknown[] = [];
  qmp.onEvent((event) => events.push(event));
  const waiting = qmp.execute("x");
  monitor.push('nonsense\n{"event": "STOP"}\n');
  await assert.rejects(waiting);
  assert.deepEqual(events, []);
});

test("the end of QEMU fails what is under way", async () => {
  const { monitor, qmp } = open();
  const waiting = qmp.execute("x");
  monitor.destroy();
  await assert.rejects(waiting, /the monitor's connection was closed/);
});

test("whatever bytes arrive, nothing is thrown but to callers", async () => {
  let seed = 7;
  const random = (): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31);
  const pieces = ['{"return":', '{"event":', "\n", '"id":2}', "{}", "null", "\\u0000", "é", "[[[", '"x"', "}", ":1,"];
  for (let round = 0; round < 300; round += 1) {
    const { monitor, qmp } = open();
    const waiting = qmp.execute("x").catch(() => undefined);
    for (let n = 0; n < 12; n += 1) monitor.push(pieces[random() % pieces.length]);
    monitor.push(null);
    monitor.destroy();
    await waiting;
  }
});
