/**
 * Watching real sandboxes: what a process in the background says, what top tells of work that is really done, and events
 * of a life that ends with the supervisor's death. One sandbox goes through most of it.
 */
import assert from "node:assert/strict";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { eventually, processesOf } from "./support/leftovers.ts";
import { collect, type Outcome } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];
const MIB = 1024 ** 2;
const TICK_MS = 10;

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

interface Follower {
  /** Whole lines that came so far. */
  lines: () => string[];
  process: ChildProcessWithoutNullStreams;
  ended: Promise<Outcome>;
}

/** Starts a command that goes on, and waits until it has opened the state: what happens from then on it sees. */
function follow(args: readonly string[]): Follower {
  const child = home.start(args);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const lines = (): string[] => text.split("\n").slice(0, -1);
  return { lines, process: child, ended: collect(child, args.join(" ")) };
}

interface Usage {
  usage: {
    host: { cpuMs: number; memoryBytes: number };
    guest: { memoryUsedBytes: number; busiest: { name: string; cpuMs: number; memoryBytes: number; pid: number }[] };
    disk: { writtenBytes: number; layerBytes: number };
  };
  rates: { guestCpuPercent: number; hostCpuPercent: number };
}

async function top(): Promise<Usage> {
  const answer = JSON.parse(await home.must(["top", "web", "--once", "--json"])) as { sandboxes: Usage[] };
  const [only] = answer.sandboxes;
  assert.ok(only);
  return only;
}

let web = "";
let events: Follower;

before(async () => {
  // Events are followed from before there is anything; the marker shows that it listens.
  await home.must(["list"]);
  events = follow(["events", "--follow", "--after", "0", "--json"]);
  web = await home.create(...SMALL, "--name", "web");
});

test("a process in the background is followed to its end, and what it said stays", async () => {
  const logs = follow(["logs", "web", "--source", "process", "--follow", "--json"]);
  const line = "echo one; echo two >&2; printf '\\033[2Jthree'; exit 3";
  const pid = Number(await home.must(["exec", "-d", "-q", "web", "--", "bash", "-c", line]));
  await eventually(async () => assert.equal(logs.lines().length, 5));
  logs.process.kill("SIGINT");
  assert.equal((await logs.ended).status, 0);
  const said = logs.lines().map((text) => JSON.parse(text) as { pid: number; stream: string; text: string });
  assert.ok(said.every((record) => record.pid === pid));
  const of = (stream: string): string[] => said.filter((r) => r.stream === stream).map(({ text }) => text);
  assert.deepEqual(of("event"), ["started: bash", "exited with status 3"]);
  assert.deepEqual(of("stdout"), ["one", "\u001b[2Jthree"]);
  assert.deepEqual(of("stderr"), ["two"]);
  const shown = await home.must(["logs", "web", "--source", "process"]);
  assert.ok(shown.includes("\\e[2Jthree") && !shown.includes("\u001b"));
});

test("a process in the background outlives its command, and its flood is bounded on this machine", async () => {
  const pid = await home.must(["exec", "-d", "-q", "web", "--", "bash", "-c", "yes | head -c 8000000; sleep 1000"]);
  const file = path.join(home.paths.sandboxesPath, web, "process.log");
  await eventually(async () => assert.ok(statSync(`${file}.1`).size > 0, "the log was full once"));
  assert.ok(statSync(file).size + statSync(`${file}.1`).size <= 8 * MIB);
  assert.equal(await home.bash(web, `kill ${pid} && echo gone`), "gone");
  await eventually(async () => assert.match(await home.must(["logs", "web", "-n", "1"]), /ended by SIGTERM/));
});

test("top agrees with what the guest does and with this machine's own figures", async () => {
  const idle = await top();
  await home.must(["exec", "-d", "-q", "web", "--", "python3", "-c", `b = bytearray(${150 * MIB})\nwhile True: pass`]);
  await home.bash(web, "dd if=/dev/urandom of=big bs=1M count=30 conv=fsync 2>&1");
  await eventually(async () => {
    const own = hostCpuMs(await home.info(web));
    const busy = await top();
    const later = hostCpuMs(await home.info(web));
    assert.ok(own <= busy.usage.host.cpuMs && busy.usage.host.cpuMs <= later, "as /proc says");
    const [first] = busy.usage.guest.busiest;
    assert.equal(first?.name, "python3");
    assert.ok(first.memoryBytes > 150 * MIB);
    assert.ok(busy.rates.guestCpuPercent > idle.rates.guestCpuPercent + 20, `${busy.rates.guestCpuPercent} %`);
    assert.ok(busy.rates.hostCpuPercent > idle.rates.hostCpuPercent);
    assert.ok(busy.usage.guest.memoryUsedBytes - idle.usage.guest.memoryUsedBytes > 140 * MIB);
    assert.ok(busy.usage.host.memoryBytes - idle.usage.host.memoryBytes > 140 * MIB);
    assert.ok(busy.usage.disk.writtenBytes - idle.usage.disk.writtenBytes >= 30 * MIB);
    assert.equal(
      busy.usage.disk.layerBytes,
      statSync(path.join(home.paths.sandboxesPath, web, "disk.qcow2")).blocks * 512,
    );
  });
  await home.bash(web, "pkill python3; rm big");
});

test("what processes said stays when their sandbox ends in order, and following says so", async () => {
  const secret = ["--secret", "EXAMPLE_KEY@api.example.com"];
  const brief = await home.must(["create", "--detach", "--quiet", ...SMALL, "--name", "brief", ...secret], {
    env: { EXAMPLE_KEY: "the-real-value-of-it" },
  });
  const logs = follow(["logs", "brief", "--follow"]);
  await home.must(["exec", "-d", "brief", "--", "echo", "last words"]);
  await eventually(async () => assert.ok(logs.lines().some((text) => text.endsWith("  last words"))));
  await home.must(["kill", "brief"]);
  const { status, stderr } = await logs.ended;
  assert.equal(status, 0);
  assert.equal(stderr, "sbx: brief has ended: killed\n");
  assert.match(await home.must(["logs", brief]), /last words/);
  const told = await home.must(["events", "brief", "--type", "secret", "--json"]);
  assert.deepEqual((JSON.parse(told) as { detail: object }).detail, { names: ["EXAMPLE_KEY"] });
  assert.ok(!events.lines().join("").includes("real-value"));
});

test("events come in order and once, and tell the death of a supervisor that nobody else looks at", async () => {
  await home.must(["pause", "web"]);
  await home.must(["resume", "web"]);
  await home.must(["extend", "web", "2h"]);
  const logs = follow(["logs", "web", "--follow", "--tail", "0"]);
  const [supervisor] = (await processesOf([web])).filter(({ role }) => role === "supervisor");
  assert.ok(supervisor);
  process.kill(supervisor.pid, "SIGKILL");
  // No other command runs from here on.
  await eventually(async () => assert.match(events.lines().at(-1) ?? "", /sandbox\.stopped.*"crashed"/));
  events.process.kill("SIGINT");
  assert.equal((await events.ended).status, 0);
  assert.match((await logs.ended).stderr, /^sbx: web has ended: crashed: its supervisor was ended\n$/);
  const followed = events.lines();
  assert.equal(await home.must(["events", "--json"]), followed.join("\n"), "the same events for who comes later");
  const seen = followed.map((line) => JSON.parse(line) as { seq: number; type: string; sandbox: { id: string } });
  assert.deepEqual(
    seen.map(({ seq }) => seq),
    [...new Set(seen.map(({ seq }) => seq))].sort((a, b) => a - b),
  );
  assert.deepEqual(
    seen
      .filter(({ type, sandbox }) => sandbox.id === web && type.startsWith("sandbox."))
      .map(({ type }) => type.slice(8)),
    ["created", "running", "paused", "resumed", "extended", "stopped"],
  );
  const processes = seen.filter(({ type, sandbox }) => sandbox.id === web && type === "process.started");
  assert.ok(processes.length >= 3);
  assert.ok(!followed.join("").includes("urandom"), "no argument of a process is recorded");
});

/** What top measures, by a reader of its own. */
function hostCpuMs({ supervisorPid, vmPid }: { supervisorPid: number | null; vmPid: number | null }): number {
  const parents = new Map<number, number[]>();
  const ticks = new Map<number, number>();
  for (const { pid, parent, used } of allProcesses()) {
    parents.set(parent, [...(parents.get(parent) ?? []), pid]);
    ticks.set(pid, used);
  }
  const members = new Set([supervisorPid ?? 0, vmPid ?? 0]);
  for (const pid of members) for (const child of parents.get(pid) ?? []) members.add(child);
  return [...members].reduce((sum, pid) => sum + (ticks.get(pid) ?? 0) * TICK_MS, 0);
}

function allProcesses(): { pid: number; parent: number; used: number }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        return [{ pid: Number(name), parent: Number(fields[1]), used: Number(fields[11]) + Number(fields[12]) }];
      } catch {
        return []; // It has ended.
      }
    });
}
