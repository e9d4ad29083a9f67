/**
 * The official SDK for Python, unmodified: installed once into a cache, by pip as this machine has it set up, and each
 * file checked against the hash in requirements.txt. Its tests are Python programs (test/sdk/python).
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { runHost } from "../vm/support/program.ts";

const PROGRAMS_PATH = path.join(import.meta.dirname, "python");
const REQUIREMENTS_PATH = path.join(PROGRAMS_PATH, "requirements.txt");
const DEADLINE_MS = 240_000;

export interface PythonTest {
  title: string;
  /** A traceback. */
  failure: string | null;
  ms: number;
}

export interface PythonReport {
  tests: PythonTest[];
  version: string;
  /** Every documented `Class.method` and `Class.method(option)`. */
  surface: string[];
  /** Those that the tests have used. */
  used: string[];
}

/** Runs test modules of test/sdk/python. @param env where the SDK finds its server */
export async function runPythonTests(modules: readonly string[], env: NodeJS.ProcessEnv): Promise<PythonReport> {
  const packages = await installSdk();
  const { status, stdout, stderr } = await runHost(["python3", "-B", "run.py", ...modules], {
    ...{ cwd: PROGRAMS_PATH, deadlineMs: DEADLINE_MS },
    env: { ...process.env, ...env, PYTHONPATH: packages, PYTHONNOUSERSITE: "1", NO_PROXY: "*" },
  });
  const lines = stdout.trimEnd().split("\n");
  if (status !== 0) throw new Error(`the tests in Python ended with ${status}:\n${stdout}${stderr.slice(-8000)}`);
  const summary = JSON.parse(lines.pop() ?? "") as Omit<PythonReport, "tests">;
  return { ...summary, tests: lines.map((line) => JSON.parse(line) as PythonTest) };
}

/** @returns what goes on Python's path */
async function installSdk(): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(REQUIREMENTS_PATH))
    .digest("hex");
  const base = process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache");
  const wanted = path.join(base, "sbx", "test-python-sdk", hash.slice(0, 16));
  if (existsSync(wanted)) return wanted;
  await mkdir(path.dirname(wanted), { recursive: true });
  const partial = await mkdtemp(`${wanted}-`);
  const install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary", ":all:"] as const;
  const { status, stdout, stderr } = await runHost(
    ["python3", ...install, "--require-hashes", "--requirement", REQUIREMENTS_PATH, "--target", partial],
    { deadlineMs: DEADLINE_MS },
  );
  if (status !== 0) {
    await rm(partial, { recursive: true, force: true });
    throw new Error(`the SDK for Python cannot be installed:\n${stdout}${stderr}`);
  }
  // Whoever was quicker has made the same.
  await rename(partial, wanted).catch(async () => rm(partial, { recursive: true, force: true }));
  return wanted;
}
