/**
 * An sbx of its own for a test: a temporary SBX_HOME with its own state, which shares the images of the machine's
 * prepared one (`sbx setup`) and begins with its templates, so that nothing is built again. A test that does damage asks
 * for files of its own.
 */
import { existsSync } from "node:fs";
import { copyFile, link, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { statePaths, type StatePaths } from "../../../src/runtime/local/paths.ts";
import type { SandboxInfo } from "../../../src/runtime/types.ts";
import { killAll, processesOf } from "./leftovers.ts";
import { runProgram, startProgram, type Outcome, type RunOptions } from "./program.ts";

const PREFIX = "sbx-vm-";

/** The user's own state, which `sbx setup` has prepared. */
export const prepared = statePaths();

type CommandOptions = Partial<RunOptions>;

export interface HomeOptions {
  /** Where SBX_HOME is to be; a fresh short path if absent. */
  path?: string;
  /** `shared` links to the prepared images; `own` gives names and files that can be damaged. */
  images?: "shared" | "own" | "none";
  /** Whether the prepared templates, and the verdict on the accelerator, are there at the beginning. */
  templates?: "shared" | "none";
  verdict?: "shared" | "none";
}

export class TestHome implements AsyncDisposable {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
  readonly paths: StatePaths;
  readonly #scratchPath: string;

  constructor(scratchPath: string, homePath: string) {
    this.#scratchPath = scratchPath;
    this.path = homePath;
    this.env = cleanEnvironment(scratchPath, homePath);
    this.paths = statePaths(this.env);
  }

  /** A directory for the test's own files; goes with the home. */
  scratch(name: string): string {
    return path.join(this.#scratchPath, name);
  }

  async sbx(args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return runProgram(args, { cwd: this.#scratchPath, ...options, env: { ...this.env, ...options.env } });
  }

  start(args: readonly string[], options: CommandOptions = {}): ReturnType<typeof startProgram> {
    return startProgram(args, { cwd: this.#scratchPath, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a command that must succeed; returns its stdout without the last newline. */
  async must(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.sbx(args, options);
    if (status !== 0) throw new Error(`sbx ${args.join(" ")} ended with ${status}:\n${stdout}${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  /** A sandbox that lives on; returns its id. */
  async create(...args: string[]): Promise<string> {
    return this.must(["create", "--detach", "--quiet", ...args]);
  }

  /** A line of bash in the guest, which must succeed. */
  async bash(id: string, line: string, options: CommandOptions = {}): Promise<string> {
    return this.must(["exec", id, "--", "bash", "-c", line], options);
  }

  async list(): Promise<SandboxInfo[]> {
    return (JSON.parse(await this.must(["list", "--all", "--json"])) as JsonInfo[]).map(readInfo);
  }

  async info(id: string): Promise<SandboxInfo> {
    return readInfo(JSON.parse(await this.must(["inspect", id, "--json"])) as JsonInfo);
  }

  /** Between two tests: what a failed one left must not fail the next one. */
  async clear(): Promise<void> {
    await killAll(this);
    await this.sbx(["list"]);
  }

  /** Ends whatever is left by force: a failed test must not burden the next one. */
  async [Symbol.asyncDispose](): Promise<void> {
    await killAll(this);
    await rm(this.paths.socketsPath, { recursive: true, force: true });
    await rm(this.path, { recursive: true, force: true });
    await rm(this.#scratchPath, { recursive: true, force: true });
  }
}

type TimeField = "createdAt" | "startedAt" | "stoppedAt" | "expiresAt";

/** As the program prints it: times are ISO 8601. */
type JsonInfo = Omit<SandboxInfo, TimeField> & Record<TimeField, string | null>;

function readInfo(json: JsonInfo): SandboxInfo {
  const at = (text: string | null): number | null => (text === null ? null : Date.parse(text));
  return {
    ...json,
    createdAt: at(json.createdAt) ?? 0,
    startedAt: at(json.startedAt),
    stoppedAt: at(json.stoppedAt),
    expiresAt: at(json.expiresAt),
  };
}

let preparation: Promise<void> | undefined;

export async function openTestHome(options: HomeOptions = {}): Promise<TestHome> {
  preparation ??= prepareMachine();
  await preparation;
  const scratchPath = await mkdtemp(path.join(tmpdir(), `${PREFIX}${process.pid}-`));
  const home = new TestHome(scratchPath, options.path ?? path.join(scratchPath, "home"));
  await mkdir(home.paths.templatesPath, { recursive: true, mode: 0o700 });
  await mkdir(home.paths.statePath, { recursive: true, mode: 0o700 });
  if (options.images !== "none") await giveImages(home, options.images ?? "shared");
  if (options.templates !== "none") {
    for (const key of (await readdir(prepared.templatesPath)).filter((name) => !name.startsWith("."))) {
      await symlink(path.join(prepared.templatesPath, key), path.join(home.paths.templatesPath, key));
    }
  }
  if (options.verdict !== "none") await copyFile(prepared.verdictPath, home.paths.verdictPath);
  return home;
}

/**
 * Gives `home` images of its own whose large files are hard links: a test may replace them, never write into them.
 */
export async function giveImages(home: TestHome, kind: "shared" | "own"): Promise<void> {
  const from = path.join(prepared.dataPath, "images");
  const to = path.join(home.paths.dataPath, "images");
  if (kind === "shared") {
    await symlink(from, to);
    return;
  }
  for (const directory of (await readdir(from, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
    if (directory.name.startsWith(".")) continue;
    await mkdir(path.join(to, directory.name), { recursive: true, mode: 0o700 });
    for (const file of await readdir(path.join(from, directory.name))) {
      const [source, target] = [from, to].map((base) => path.join(base, directory.name, file)) as [string, string];
      // Another file system than the temporary directory's takes a copy.
      await link(source, target).catch(async () => copyFile(source, target));
    }
  }
}

/** Nothing of the user's configuration or of the test runner reaches the program. */
function cleanEnvironment(scratchPath: string, homePath: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith("SBX_") && !name.startsWith("NODE_")) env[name] = value;
  }
  delete env.XDG_RUNTIME_DIR;
  return {
    ...env,
    SBX_HOME: homePath,
    XDG_CONFIG_HOME: path.join(scratchPath, "config"),
    NO_COLOR: "1",
    PATH: `${path.dirname(process.execPath)}:${env.PATH ?? "/usr/bin:/bin"}`,
  };
}

/** `npm test` has done this already; whoever runs one file by hand may not have. */
async function prepareMachine(): Promise<void> {
  await removeAbandonedHomes();
  const { status, stdout, stderr } = await runProgram(["setup"], { env: process.env, deadlineMs: 30 * 60_000 });
  if (status !== 0) throw new Error(`sbx setup ended with ${status}:\n${stdout}${stderr}`);
}

/** Of runs that were killed. */
async function removeAbandonedHomes(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    const scratchPath = path.join(tmpdir(), name);
    for (const process_ of await processesOf([scratchPath])) process.kill(process_.pid, "SIGKILL");
    // What is still mounted in one cannot be removed, and must not keep this run from going on.
    await rm(scratchPath, { recursive: true, force: true }).catch(() => undefined);
  }
}
