/** A whole supervisor with a QEMU that is none (fake-qemu.mjs), as `sbx create` starts it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import type { TestContext } from "node:test";
import { LAUNCH_VERSION, type LaunchAnswer, type SandboxLaunch } from "../../../src/protocol/launch.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { SandboxStore, type SandboxRow } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

/** A name and not a literal: the script has no types. */
const BUILDER: string = "../../../scripts/build-agent.mjs";
/** Root's QEMU needs the real jail, so a test that runs as root runs its supervisor as nobody. */
const NOBODY = 65534;
const IS_ROOT = process.getuid?.() === 0;

export type FakeMode = "ok" | "dies" | "silent" | "panics";

export interface Bench {
  launch: SandboxLaunch;
  child: ChildProcess;
  /** All answers so far; complete when `exited` settles. */
  answers: LaunchAnswer[];
  ready: Promise<void>;
  exited: Promise<number | null>;
  input: Writable;
  row: () => SandboxRow | undefined;
  store: SandboxStore;
  commit: () => void;
  /** Whether the sandbox's layer or socket is there. */
  leftovers: () => string[];
}

export async function startBench(
  t: TestContext,
  mode: FakeMode,
  options: { change?: (launch: SandboxLaunch) => void; record?: boolean; line?: string } = {},
): Promise<Bench> {
  const root = temporaryDirectory(t);
  const launch = await makeLaunch(root, mode);
  options.change?.(launch);
  const store = new SandboxStore(openDatabase(launch.databasePath));
  if (options.record !== false) {
    const { id, name, createdAt, directory, socketPath: socket, spec } = launch;
    store.insert(sampleSandbox({ id, name, createdAt, directory, socket, spec }));
  }
  giveAway(root, launch);
  const child = spawn(process.execPath, [path.resolve("src/supervisor/main.ts")], {
    cwd: "/",
    stdio: ["pipe", "ignore", "pipe", "pipe"],
    ...(IS_ROOT ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  let complaints = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
    if (complaints !== "") t.diagnostic(complaints);
  });
  const input = child.stdin as Writable;
  input.on("error", () => undefined); // it may end before it has read everything
  const { answers, ready } = follow(child.stdio[3] as Readable);
  input.write(`${options.line ?? JSON.stringify(launch)}\n`);
  return {
    ...{ launch, child, answers, ready, exited, input, store },
    row: () => store.get(launch.id),
    commit: () => input.end("commit\n"),
    leftovers: () => [path.join(launch.directory, "disk.qcow2"), launch.socketPath].filter((file) => existsSync(file)),
  };
}

function follow(stream: Readable): { answers: LaunchAnswer[]; ready: Promise<void> } {
  const answers: LaunchAnswer[] = [];
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  ready.catch(() => undefined); // not every test waits for it
  let rest = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const answer = JSON.parse(line) as LaunchAnswer;
      answers.push(answer);
      if (answer.type === "ready") resolve();
    }
  });
  stream.on("close", () => reject(new Error(`the supervisor was never ready: ${JSON.stringify(answers)}`)));
  return { answers, ready };
}

async function makeLaunch(root: string, mode: FakeMode): Promise<SandboxLaunch> {
  const { buildAgent } = (await import(BUILDER)) as { buildAgent: () => { paths: Record<string, string> } };
  const agent = buildAgent().paths[process.arch === "arm64" ? "arm64" : "amd64"] ?? "";
  const qemu = path.join(root, "qemu");
  const script = path.join(import.meta.dirname, "fake-qemu.mjs");
  writeFileSync(qemu, `#!/bin/sh\nexec '${process.execPath}' '${script}' '${mode}' '${agent}' "$@"\n`, { mode: 0o755 });
  for (const name of ["memory", "state", "disk", "empty"]) writeFileSync(path.join(root, name), name);
  const { id, spec } = sampleSandbox();
  const file = (name: string): string => path.join(root, name);
  return {
    kind: "sandbox",
    version: LAUNCH_VERSION,
    qemu: { path: qemu, version: "7.2.0", major: 7, minor: 2 },
    tools: { bubblewrap: null, prlimit: null, setpriv: null },
    machine: { accelerator: { name: "tcg", cpuModel: "x", tscKhz: null }, memoryBytes: 1024 ** 3, cpus: 1 },
    diskBytes: 1024 ** 3,
    ...{ id, name: "web", createdAt: 1, spec, env: {}, hostname: "web" },
    directory: file("sandbox"),
    socketPath: file("s.sock"),
    databasePath: path.join(root, "state-db", "sbx.db"),
    layersPath: path.join(root, "layers"),
    rootLayers: [
      { path: file("disk"), format: "raw" },
      { path: path.join(file("sandbox"), "disk.qcow2"), format: "qcow2" },
    ],
    rootWrites: "discarded",
    start: { kind: "restore", memoryPath: file("memory"), statePath: file("state") },
    volumes: [],
    lifetime: { kind: "duration", ms: 600_000 },
    egress: {
      policy: { mode: "none", rules: [], expressions: [] },
      ...{ secrets: [], onLeak: "block", inspect: false, hookPath: null, resolve: [], awaitsSettings: false },
    },
    prestarted: false,
  };
}

/** Everything that the supervisor writes to belongs to its account. */
function giveAway(root: string, launch: SandboxLaunch): void {
  mkdirSync(launch.directory, { recursive: true });
  if (!IS_ROOT) return;
  const stateDirectory = path.dirname(launch.databasePath);
  chmodSync(stateDirectory, 0o777);
  for (const name of [root, launch.directory, stateDirectory]) chownSync(name, NOBODY, NOBODY);
  for (const suffix of ["", "-wal", "-shm"]) {
    if (existsSync(launch.databasePath + suffix)) chownSync(launch.databasePath + suffix, NOBODY, NOBODY);
  }
}

/** One HTTP request to the sandbox's socket. */
export async function ask(
  socketPath: string,
  method: string,
  target: string,
  body?: string,
): Promise<{ status: number; body: unknown }> {
  const outgoing = request({ socketPath, method, path: target });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [Readable & { statusCode: number }];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, body: JSON.parse(text) as unknown };
}
