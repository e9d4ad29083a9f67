/**
 * The process that runs the user's hooks and rules. It gets nothing of the supervisor's environment but what a program
 * needs to run, and it ends with the supervisor however that ends (host/lifeline.ts).
 */
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import type { Duplex, Readable } from "node:stream";
import type { HookLog } from "./hook-log.ts";

/** What Node itself takes, beside the heap that the limit is about. */
const BASE_MEMORY_MIB = 128;
/** Linux's page, of which /proc counts the resident ones. */
const PAGE_BYTES = 4096;
/** What the end of its output is waited for when it has ended. */
const LAST_OUTPUT_MS = 200;

export interface HookProcessOptions {
  nodePath: string;
  scriptPath: string;
  /** Where the module lies. */
  cwd: string;
  memoryLimitMiB: number;
  log: HookLog;
}

export class HookProcess {
  readonly socket: Duplex;
  /** How it ended, such as `ended with status 1`. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;
  readonly #options: HookProcessOptions;
  #outOfMemory = false;
  #running = true;

  /** @throws Error if there is no such program */
  static async start(options: HookProcessOptions): Promise<HookProcess> {
    const child = spawn(options.nodePath, nodeArguments(options), {
      cwd: options.cwd,
      env: environment(process.env),
      // A group of its own, so that what the module starts is ended with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
    });
    // It may come later too, for a signal that could not be sent.
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).on("error", reject));
    return new HookProcess(child, options);
  }

  private constructor(child: ChildProcess, options: HookProcessOptions) {
    this.#child = child;
    this.#options = options;
    const [, stdout, stderr, socket, lifeline] = child.stdio;
    this.socket = socket as Duplex;
    options.log.follow(stdout as Readable);
    options.log.follow(stderr as Readable, (line) => {
      this.#outOfMemory ||= line.includes("heap out of memory");
    });
    (lifeline as Duplex).on("error", () => undefined).resume();
    this.exited = new Promise((resolve) => {
      // "close" comes when its output has been read as well, unless something that it started holds that open.
      const finish = (code: number | null, signal: string | null): void => resolve(this.#describeExit(code, signal));
      child.once("exit", (code, signal) => {
        this.kill(); // what it has started
        this.#running = false;
        setTimeout(finish, LAST_OUTPUT_MS, code, signal);
      });
      child.once("close", finish);
    });
    offerToTheOomKiller(child.pid);
  }

  /** Ends it, and everything that it has started, at once. */
  kill(): void {
    if (!this.#running || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // Nobody is left of it.
    }
  }

  /** Why it takes too much memory; `null` as long as it does not. */
  findMemoryProblem(): string | null {
    const residentBytes = residentSize(this.#child.pid);
    const { memoryLimitMiB } = this.#options;
    if (residentBytes === null || residentBytes < (memoryLimitMiB + BASE_MEMORY_MIB) * 1024 * 1024) return null;
    return this.#memoryProblem();
  }

  #memoryProblem(): string {
    return `used more memory than it may (${this.#options.memoryLimitMiB} MiB)`;
  }

  #describeExit(code: number | null, signal: string | null): string {
    if (this.#outOfMemory) return this.#memoryProblem();
    return signal === null ? `ended with status ${code ?? "unknown"}` : `was ended by ${signal}`;
  }
}

function nodeArguments({ memoryLimitMiB, scriptPath }: HookProcessOptions): string[] {
  return [
    `--max-old-space-size=${memoryLimitMiB}`,
    // A module does not need a package.json, and type stripping is what hooks are documented to have.
    "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
    "--disable-warning=ExperimentalWarning",
    scriptPath,
  ];
}

/** The user's secrets live in the environment, and hooks have no business with them. */
function environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ["PATH", "LANG", "TZ", "TMPDIR"];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

/** A host that is short of memory loses the hook process before it loses the sandbox (proc(5)). */
function offerToTheOomKiller(pid: number | undefined): void {
  try {
    writeFileSync(`/proc/${pid ?? ""}/oom_score_adj`, "1000");
  } catch {
    // Not Linux, or it is gone already.
  }
}

function residentSize(pid: number | undefined): number | null {
  try {
    const pages = readFileSync(`/proc/${pid ?? ""}/statm`, "latin1").split(" ")[1];
    return pages === undefined ? null : Number(pages) * PAGE_BYTES;
  } catch {
    return null; // Not Linux, or it is gone already.
  }
}
