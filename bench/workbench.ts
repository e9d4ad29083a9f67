/** What the rows work with: the built sbx as a program and as a module, a state of its own, and the machine with sshd. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { enableCompileCache } from "node:module";
import { compileCachePath } from "../src/host/compile-cache.ts";
import { DEFAULT_SETTINGS, type Settings } from "../src/runtime/defaults.ts";
import { statePaths, type StatePaths } from "../src/runtime/local/paths.ts";
import type { ExecSpec } from "../src/runtime/types.ts";
import type { Runtime, Sandbox } from "../src/runtime/runtime.ts";
import { findQemu, type QemuBinary } from "../src/vm/qemu-binary.ts";
import { shareImages } from "./shared-images.ts";
import { openSshMachine, type SshMachine } from "./ssh-machine.ts";
import { servePeer, type PeerServer } from "./egress/peer.ts";

export interface Counts {
  rounds: number;
  /** Rounds of the large copies. */
  copyRounds: number;
  /** Sandboxes alive at once. */
  alive: number;
  /** Seconds over which an idle sandbox is watched. */
  idleSeconds: number;
}

export interface Bench extends AsyncDisposable {
  readonly counts: Counts;
  readonly root: string;
  readonly runtime: Runtime;
  readonly settings: Settings;
  readonly paths: StatePaths;
  readonly qemu: QemuBinary;
  /** For files of this run; removed at the end. */
  readonly scratchPath: string;
  /** The whole command line of `sbx ARGS…`. */
  sbx(...args: string[]): string[];
  log(message: string): void;
  /** The machine with sshd; booted when it is first asked for. */
  ssh(): Promise<SshMachine>;
  /** The server of the network rows; built and started when it is first asked for. */
  peer(): Promise<PeerServer>;
}

/** The bundle, as the commands use it. */
interface Bundle {
  openRuntime: (settings: Settings) => Promise<Runtime>;
}

export function benchHome(): string {
  return path.join(path.dirname(path.dirname(compileCachePath())), "sbx-bench");
}

/** @throws Error if sbx was not built */
export async function openBench(counts: Counts, log: (message: string) => void): Promise<Bench> {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const bundlePath = path.join(root, "dist", "main.js");
  if (!existsSync(bundlePath)) throw new Error(`${bundlePath} is not there: npm run build`);
  const users = statePaths({ ...process.env, HOME: homedir() });
  const home = benchHome();
  mkdirSync(home, { recursive: true, mode: 0o700 });
  process.env.SBX_HOME = home;
  const paths = statePaths();
  shareImages(path.join(users.dataPath, "images"), path.join(paths.dataPath, "images"));
  // As bin/run.js does.
  enableCompileCache(compileCachePath());
  const { openRuntime } = (await import(bundlePath)) as Bundle;
  const runtime = await openRuntime(DEFAULT_SETTINGS);
  log("preparing: image, accelerator, template");
  await runtime.machine.setup({ onProgress: ({ message }) => log(message) });
  const scratchPath = mkdtempSync(path.join(tmpdir(), "sbx-bench-"));
  let machine: Promise<SshMachine> | undefined;
  let server: Promise<PeerServer> | undefined;
  const bench: Bench = {
    ...{ counts, root, runtime, settings: DEFAULT_SETTINGS, paths, scratchPath, log },
    qemu: await findQemu(),
    sbx: (...args) => [process.execPath, path.join(root, "bin", "run.js"), ...args],
    ssh() {
      machine ??= openSshMachine(bench);
      return machine;
    },
    peer() {
      server ??= servePeer(path.join(scratchPath, "peer"), log);
      return server;
    },
    async [Symbol.asyncDispose]() {
      if (machine !== undefined) await (await machine)[Symbol.asyncDispose]();
      if (server !== undefined) await (await server)[Symbol.asyncDispose]();
      await runtime[Symbol.asyncDispose]();
      rmSync(scratchPath, { recursive: true, force: true });
    },
  };
  return bench;
}

/** A sandbox for the time of a row, known to other processes by its id. */
export async function openSandbox(bench: Bench): Promise<Sandbox> {
  return bench.runtime.create({ lifetime: { kind: "session" } });
}

/**
 * Runs a command to its end, dropping what it says.
 *
 * @throws Error when it fails
 */
export async function execQuietly(
  sandbox: Pick<Sandbox, "exec">,
  argv: ExecSpec["argv"],
  user?: string,
): Promise<void> {
  await using session = await sandbox.exec({ argv, ...(user === undefined ? {} : { user }) });
  session.stdout.resume();
  session.stderr.resume();
  const { code } = await session.exit;
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code} in the sandbox`);
}
