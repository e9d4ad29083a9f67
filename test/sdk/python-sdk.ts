/**
 * The official SDK for Python, unmodified: each file is checked against its hash (test/python/deno-sandbox.txt). Its tests
 * are Python programs (test/sdk/python).
 */
import path from "node:path";
import { pythonPackages } from "../../scripts/python-packages.mjs";
import { runHost } from "../vm/support/program.ts";

const PROGRAMS_PATH = path.join(import.meta.dirname, "python");
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
  const { status, stdout, stderr } = await runHost(["python3", "-B", "run.py", ...modules], {
    ...{ cwd: PROGRAMS_PATH, deadlineMs: DEADLINE_MS },
    env: {
      ...process.env,
      ...env,
      PYTHONPATH: await pythonPackages("deno-sandbox"),
      PYTHONNOUSERSITE: "1",
      NO_PROXY: "*",
    },
  });
  const lines = stdout.trimEnd().split("\n");
  if (status !== 0) throw new Error(`the tests in Python ended with ${status}:\n${stdout}${stderr.slice(-8000)}`);
  const summary = JSON.parse(lines.pop() ?? "") as Omit<PythonReport, "tests">;
  return { ...summary, tests: lines.map((line) => JSON.parse(line) as PythonTest) };
}
