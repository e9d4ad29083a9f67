/** `logs`, `events`, `top` and `exec --detach`: what they ask of the runtime and what they print. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import Events from "../../../../src/commands/events.ts";
import Exec from "../../../../src/commands/exec.ts";
import Logs from "../../../../src/commands/logs.ts";
import Top from "../../../../src/commands/top.ts";
import type { EventRecord, SandboxUsage } from "../../../../src/runtime/watching.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { Collector, runCommand } from "../run-command.ts";

const NOW = 1_700_000_060_000;
const ID = "sbx_loc_0123456789abcdefghjk";
const MIB = 1024 ** 2;

function oneSandbox(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ id: ID, name: "web" })];
  return runtime;
}

function usage(change: { cpuMs: number; at: number; name?: string; id?: string; used?: number }): SandboxUsage {
  const { cpuMs, at, name = "web", id = ID, used = 100 * MIB } = change;
  return {
    ...{ id, name, status: "running", cpus: 2, memoryBytes: 512 * MIB, startedAt: NOW - 60_000 },
    usage: {
      at,
      host: { cpuMs: cpuMs * 2, memoryBytes: 200 * MIB },
      guest: {
        ...{ cpuMs, memoryTotalBytes: 512 * MIB, memoryUsedBytes: used, diskTotalBytes: 9000, diskUsedBytes: 4000 },
        ...{ processes: 3, oomKills: 0 },
        busiest: [
          { pid: 7, uid: 1000, name: "\u001b[2Jnode", state: "R", cpuMs: 125, windowMs: 250, memoryBytes: 40 * MIB },
        ],
      },
      disk: { readBytes: cpuMs * 1024, writtenBytes: 0, layerBytes: 5 * MIB },
      network: { sentBytes: 0, receivedBytes: 0, connections: 0, requests: 0, denied: 0 },
    },
  };
}

test("logs are escaped line by line: the console is the guest's", async () => {
  const runtime = oneSandbox();
  runtime.logLines = [
    { time: NOW, source: "supervisor", text: "ready" },
    { time: null, source: "console", text: "\u001b]0;title\u0007 boot\r\n" },
    { time: NOW, source: "process", text: "\u009b2J oops", process: { pid: 12, stream: "stderr" } },
    { time: NOW, source: "process", text: "exited with status 0", process: { pid: 12, stream: "event" } },
  ];
  const plain = await runCommand(Logs, "logs", ["web"], { runtime });
  assert.deepEqual(plain.stdout.split("\n"), [
    "supervisor    ready",
    "console       \\e]0;title\\x07 boot",
    "process 12    \\x9b2J oops",
    "process 12    [exited with status 0]",
    "",
  ]);
  const timed = await runCommand(Logs, "logs", ["web", "--timestamps"], { runtime });
  assert.match(timed.stdout, /^2023-11-14T22:14:20\.000Z supervisor {4}ready\n- {24}console/);
  const json = (await runCommand(Logs, "logs", ["web", "--json"], { runtime })).stdout.trimEnd().split("\n");
  assert.ok(!json.join("").includes("\u009b"), "no control reaches the terminal");
  assert.deepEqual(JSON.parse(json[2] ?? ""), {
    ...{ time: "2023-11-14T22:14:20.000Z", source: "process", pid: 12, stream: "stderr" },
    text: "\u009b2J oops",
  });
});

test("logs asks for what it is told to", async () => {
  const runtime = oneSandbox();
  const at = "2026-03-01T00:00:00Z";
  await runCommand(Logs, "logs", ["web", "--source", "process", "--source", "vm", "-n", "5", "--since", at], {
    runtime,
  });
  await runCommand(Logs, "logs", ["web", "--source", "all"], { runtime });
  const asked = runtime.calls.filter(({ method }) => method === "logs").map(({ args }) => args);
  assert.deepEqual(asked, [
    [ID, { follow: false, tail: 5, since: Date.parse(at), sources: ["process", "vm"] }],
    [ID, { follow: false }],
  ]);
  for (const bad of [
    ["--since", "soon"],
    ["--since", "2026-13-01"],
    ["--source", "dmesg"],
    ["-n", "x"],
  ]) {
    assert.equal((await runCommand(Logs, "logs", ["web", ...bad], { runtime })).status, 2, bad.join(" "));
  }
});

test("logs --follow ends without complaint at Ctrl-C", async () => {
  const signals = new EventEmitter();
  const runtime = oneSandbox();
  setImmediate(() => setImmediate(() => signals.emit("SIGINT")));
  const result = await runCommand(Logs, "logs", ["web", "--follow", "--tail", "5"], { runtime, signals });
  assert.equal(result.status, 0);
  assert.equal(result.stderr, "");
});

test("logs, events and top that a signal ends otherwise say so by their status", async () => {
  for (const [command, id, args] of [
    [Logs, "logs", ["web", "--follow"]],
    [Events, "events", ["--follow"]],
    [Top, "top", ["--json"]],
    [Top, "top", []],
  ] as const) {
    const signals = new EventEmitter();
    setImmediate(() => setImmediate(() => signals.emit("SIGTERM")));
    const tty = { stdout: id === "top" && args.length === 0 };
    const result = await runCommand(command, id, [...args], { runtime: oneSandbox(), signals, tty });
    assert.equal(result.status, 143, `${id} ${args.join(" ")}`);
  }
});

test("logs --follow says why there is nothing more", async () => {
  const runtime = oneSandbox();
  runtime.followEnds = true;
  Object.assign(runtime.sandboxes[0] ?? {}, { status: "stopped", reason: "crashed", detail: "it \u001b[31mfell" });
  const result = await runCommand(Logs, "logs", ["web", "-f"], { runtime });
  assert.equal(result.stderr, "sbx: web has ended: crashed: it \\e[31mfell\n");
  assert.equal((await runCommand(Logs, "logs", ["web", "-f", "-q"], { runtime })).stderr, "");
});

const EVENTS: EventRecord[] = [
  {
    ...{ seq: 1, time: NOW, type: "sandbox.created", sandbox: { id: ID, name: "web" }, subject: null },
    detail: { image: "default", memoryBytes: 512 * MIB, cpus: 1 },
  },
  {
    ...{ seq: 2, time: NOW, type: "volume.attached", sandbox: { id: ID, name: "web" } },
    ...{ subject: { id: "vol_1", name: "data" }, detail: { path: "/data\u001b[2J", access: "read-only" } },
  },
  {
    ...{ seq: 3, time: NOW, type: "process.ended", sandbox: { id: ID, name: null }, subject: null },
    detail: { pid: 9, program: "node", code: 137, signal: "SIGKILL", outOfMemory: true },
  },
  {
    ...{ seq: 4, time: NOW, type: "sandbox.stopped", sandbox: { id: ID, name: "web" }, subject: null },
    detail: { reason: "crashed", detail: "QEMU ended" },
  },
  {
    ...{ seq: 5, time: NOW, type: "secret.stored", sandbox: null, subject: { id: "KEY", name: "KEY" }, detail: {} },
  },
];

test("events are a line each, with what matters of its type, and nothing that moves a cursor", async () => {
  const runtime = oneSandbox();
  runtime.eventList = EVENTS;
  const { stdout } = await runCommand(Events, "events", [], { runtime });
  assert.deepEqual(
    stdout.split("\n").map((line) => line.replace(/^\d\d:\d\d:\d\d /, "")),
    [
      "sandbox.created    web: default, 512 MiB, 1 CPU",
      "volume.attached    data to web: /data\\e[2J, read-only",
      `process.ended      ${ID}: node (9) SIGKILL, out of memory`,
      "sandbox.stopped    web: crashed, QEMU ended",
      "secret.stored      KEY",
      "",
    ],
  );
});

test("an event as JSON is one line of a fixed form", async () => {
  const runtime = oneSandbox();
  runtime.eventList = EVENTS.slice(1, 2);
  const { stdout } = await runCommand(Events, "events", ["--json"], { runtime });
  assert.equal(
    stdout,
    `{"seq":2,"time":"2023-11-14T22:14:20.000Z","type":"volume.attached","sandbox":{"id":"${ID}","name":"web"},` +
      '"subject":{"id":"vol_1","name":"data"},"detail":{"path":"/data\\u001b[2J","access":"read-only"}}\n',
  );
});

test("events asks for what it is told to; a kind stands for all of its types", async () => {
  const runtime = oneSandbox();
  const { status } = await runCommand(
    Events,
    "events",
    ["web", "--type", "secret", "--type", "sandbox.stopped", "--after", "7", "-n", "3"],
    { runtime },
  );
  assert.equal(status, 0);
  assert.deepEqual(runtime.calls[0]?.args, [
    {
      ...{ follow: false, sandbox: "web", tail: 3, after: 7 },
      types: ["secret.stored", "secret.granted", "secret.rotated", "secret.removed", "sandbox.stopped"],
    },
  ]);
  const bad = await runCommand(Events, "events", ["--type", "weather"], { runtime });
  assert.equal(bad.status, 2);
  assert.match(bad.stderr, /"weather" is no type of event/);
});

test("top without a terminal is one table over one interval", async () => {
  const runtime = oneSandbox();
  runtime.usages = [[usage({ cpuMs: 1000, at: NOW })], [usage({ cpuMs: 1500, at: NOW + 1000 })]];
  const { stdout } = await runCommand(Top, "top", ["--interval", "200ms"], { runtime });
  assert.deepEqual(stdout.split("\n"), [
    "SANDBOX  CPU  HOST CPU  MEMORY           HOST MEM  DISK   READ/s   WRITE/s  IN/s  OUT/s  REQ/s  PROCS",
    "web      50%  100%      100 MiB/512 MiB  200 MiB   5 MiB  500 KiB  0 B      0 B   0 B    0      3",
    "",
    "PID  UID   CPU  MEMORY  STATE  PROCESS",
    "7    1000  50%  40 MiB  R      \\e[2Jnode",
    "",
  ]);
});

test("top --json prints a document each time, and one with --once", async () => {
  const runtime = oneSandbox();
  runtime.usages = [[usage({ cpuMs: 1000, at: NOW })], [usage({ cpuMs: 1250, at: NOW + 500 })]];
  const once = await runCommand(Top, "top", ["web", "--once", "--json", "--interval", "200ms"], { runtime });
  const [sandbox] = (JSON.parse(once.stdout) as { sandboxes: Record<string, unknown>[] }).sandboxes;
  assert.equal(sandbox?.id, ID);
  assert.equal((sandbox.rates as { guestCpuPercent: number }).guestCpuPercent, 50);
  assert.deepEqual(runtime.calls.find(({ method }) => method === "usage")?.args, [{ sandbox: "web", processes: 20 }]);

  const signals = new EventEmitter();
  const stdout = new Collector();
  const running = runCommand(Top, "top", ["--json", "--interval", "200ms"], { runtime, signals, stdout });
  while (stdout.text.split("\n").length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
  signals.emit("SIGINT");
  assert.equal((await running).status, 0);
  for (const line of stdout.text.trimEnd().split("\n")) assert.ok(JSON.parse(line));
});

test("top on a terminal draws in place, sorts by keys, and gives the terminal back", async () => {
  const runtime = oneSandbox();
  const big = { id: "sbx_loc_b", name: "big", used: 400 * MIB };
  runtime.usages = [
    [usage({ cpuMs: 0, at: NOW }), usage({ cpuMs: 0, at: NOW, ...big })],
    [usage({ cpuMs: 900, at: NOW + 1000 }), usage({ cpuMs: 100, at: NOW + 1000, ...big })],
  ];
  const stdin = new PassThrough();
  const stdout = Object.assign(new Collector(), { isTTY: true, columns: 80, rows: 10 });
  const options = { runtime, stdin, stdout, tty: { stdin: true } };
  const running = runCommand(Top, "top", ["--interval", "200ms"], options);
  const shown = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(stdout.text.split("\u001b[H").at(-1) ?? "")) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await shown(/web +90%[^]*big +10%/);
  stdin.write("m");
  await shown(/big +10%[^]*web +90%/);
  stdin.write("q");
  const { status, rawModes } = await running;
  assert.equal(status, 0);
  assert.deepEqual(rawModes, [true, false]);
  assert.ok(stdout.text.startsWith("\u001b[?1049h\u001b[?25l"));
  assert.ok(stdout.text.endsWith("\u001b[?25h\u001b[?1049l"));
  for (const screen of stdout.text.split("\u001b[H").slice(1)) {
    const lines = screen.replace(/\u001b\[[?\d]*[A-Za-z]/g, "").split("\r\n");
    assert.ok(
      lines.every((line) => line.length <= 80),
      "no line wraps",
    );
  }
});

test("exec --detach prints the process and leaves it", async () => {
  const runtime = oneSandbox();
  const result = await runCommand(Exec, "exec", ["--detach", "web", "--", "npm", "start"], { runtime });
  assert.equal(result.stdout, "4321\n");
  assert.equal(result.stderr, "sbx: it runs on in web; sbx logs web --source process -f\n");
  const [spec] = runtime.calls.find(({ method }) => method === "start")?.args as [{ argv: string[]; stdin: boolean }];
  assert.deepEqual([spec.argv, spec.stdin], [["npm", "start"], false]);
  const json = await runCommand(Exec, "exec", ["-d", "--json", "web", "--", "true"], { runtime });
  assert.deepEqual(JSON.parse(json.stdout), { sandbox: ID, pid: 4321 });
  assert.equal((await runCommand(Exec, "exec", ["-d", "-t", "web", "--", "true"], { runtime })).status, 2);
});
