/**
 * A guest whose root wants to hurt its supervisor: thousands of connections, raw frames, floods of questions and of
 * connections that are denied. The supervisor's memory and its log stay bounded, and the sandbox still answers.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import path from "node:path";
import type { NetView } from "../../src/protocol/net-calls.ts";
import { TestListener } from "./support/test-listener.ts";
import { World } from "./support/world.ts";

const SCRIPT = path.join(import.meta.dirname, "guest", "hostile.py");
const MIB = 1024 * 1024;
/** Of each way that lasts. */
const SECONDS = 3;
const WAYS = ["many", "never_reads", "syn_flood", "noise", "dns_flood", "denied_flood"];
/** For what a sandbox with so many connections may hold (docs/performance.md), with what Node itself takes. */
const MAX_RSS_BYTES = 300 * MIB;
/** Two files of the audit log, each with its cap. */
const MAX_LOG_BYTES = 2 * 16 * MIB;

let world: World;
let box: string;
let supervisorPid: number;
let mostConnections = 0;
const said: { way: string; count: number; seconds?: number; execMs: number; rssBytes: number; logBytes: number }[] = [];

before(async () => {
  world = await World.open();
  const [sink, source] = ["93.184.219.1", "93.184.219.2"];
  world.names.set("sink.example.com", sink);
  world.names.set("source.example.com", source);
  let open = 0;
  const silent = createServer((socket) => {
    open += 1;
    mostConnections = Math.max(mostConnections, open);
    socket.on("close", () => (open -= 1)).resume();
  });
  world.use(await TestListener.start(silent, sink, 7000));
  world.use(
    await TestListener.start(
      createServer((socket) => void socket.once("data", () => pour(socket))),
      source,
      7000,
    ),
  );
  box = await world.home.create("--allow-net", "*.example.com:7000");
  supervisorPid = (await world.home.info(box)).supervisorPid ?? 0;
  await world.home.must(["cp", SCRIPT, `${box}:/tmp/hostile.py`]);
  await attack();
});
after(async () => world[Symbol.asyncDispose]());

/** Runs the script, and looks at the supervisor after each way. */
async function attack(): Promise<void> {
  const child = world.home.start(["exec", "--user", "root", box, "--", "python3", "/tmp/hostile.py", String(SECONDS)]);
  child.stderr.pipe(process.stderr);
  let text = "";
  for await (const chunk of child.stdout.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (text += chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines)
      said.push({ ...(JSON.parse(line) as { way: string; count: number; seconds?: number }), ...(await look()) });
  }
}

async function look(): Promise<{ execMs: number; rssBytes: number; logBytes: number }> {
  const started = performance.now();
  assert.equal(await world.home.bash(box, "echo here"), "here");
  return { execMs: performance.now() - started, rssBytes: mostRss(), logBytes: logBytes() };
}

/** The most that it ever had. */
function mostRss(): number {
  const status = readFileSync(`/proc/${supervisorPid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

function logBytes(): number {
  return ["net.log", "net.log.1", "supervisor.log"]
    .map((name) => statSync(path.join(world.home.paths.sandboxesPath, box, name), { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
}

function pour(socket: Socket): void {
  const chunk = Buffer.alloc(65_536);
  const more = (): void => {
    while (!socket.destroyed) {
      if (!socket.write(chunk)) {
        socket.once("drain", more);
        return;
      }
    }
  };
  more();
}

test("every way was tried, and the sandbox answered after each of them", (t) => {
  for (const { way, count, seconds = 0, execMs, rssBytes, logBytes } of said) {
    const figures = `${Math.round(execMs)} ms, ${Math.round(rssBytes / MIB)} MiB, log ${Math.round(logBytes / 1024)} KiB`;
    t.diagnostic(`${way}: ${count} times in ${seconds.toFixed(1)} s; exec ${figures}`);
  }
  assert.deepEqual(
    said.map(({ way }) => way).filter((way) => !way.includes(":")),
    WAYS,
  );
  assert.ok(said.every(({ way, count }) => count > 0 || way.includes(":")));
});

test("of 5,000 connections at once all are served up to the limit, and the others are refused at once", () => {
  const counted = new Map(said.map(({ way, count }) => [way, count]));
  const [open = 0, refused = 0] = [counted.get("many"), counted.get("many: refused")];
  assert.equal(open + refused, 5000);
  assert.ok(open >= 2000 && open <= 4096, `${open} were open`);
  assert.ok(mostConnections <= 4096 && mostConnections >= open - 100, `${mostConnections} were open at the upstream`);
});

test("the supervisor's memory stays bounded", () => {
  assert.ok(mostRss() < MAX_RSS_BYTES, `${Math.round(mostRss() / MIB)} MiB`);
});

test("its logs stay within their caps, and say what happened", () => {
  assert.ok(logBytes() < MAX_LOG_BYTES, `${logBytes()} bytes`);
  // The files themselves: how many lines the last flood fills depends on the machine.
  const file = (name: string): string => path.join(world.home.paths.sandboxesPath, box, name);
  const output = ["net.log.1", "net.log"]
    .map((name) => (existsSync(file(name)) ? readFileSync(file(name), "utf8") : ""))
    .join("");
  assert.match(output, /more lookups were refused|no rule allows [0-9a-f]{40}\.evil/);
  assert.match(output, /no rule allows 203\.0\.113\./);
});

test("no packet went to anybody who is not allowed, and no question of the guest's left", async () => {
  const strangers = (await world.sniffer.traffic()).filter(({ to }) => to.startsWith("203.0.113."));
  assert.deepEqual(strangers, []);
  assert.deepEqual(
    world.names.asked.filter(({ name }) => name.endsWith(".evil")),
    [],
  );
});

test("afterwards a connection works as it did, and what was open is closed", async () => {
  const { status, stdout } = await world.home.sbx([
    "exec",
    box,
    "--",
    "bash",
    "-c",
    "echo go > /dev/tcp/source.example.com/7000 && echo open",
  ]);
  assert.deepEqual([status, stdout], [0, "open\n"]);
  const view = JSON.parse(await world.home.must(["net", "show", box, "--json"])) as NetView;
  assert.ok(view.counters.denied > 0);
  assert.ok(view.counters.openFlows < 200, `${view.counters.openFlows} are open`);
});
