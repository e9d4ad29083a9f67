/**
 * A CI runner: takes a directory into a sandbox, prepares it once, copies the prepared machine for each job, and runs the
 * jobs at the same time. Its own status tells whether all of them passed.
 *
 *   node examples/ci-runner.ts DIRECTORY
 */
import path from "node:path";
import { connect, network, run, type Runtime, SbxError } from "sbx";

const PROJECT = "/app/project";
const STEP_MS = 10 * 60_000;

const PREPARE = "ls -la";
const JOBS: Record<string, string> = {
  syntax: "find . -name '*.py' -exec python3 -m py_compile {} +",
  size: "test $(du -sm . | cut -f1) -lt 100",
};

async function runJob(runtime: Runtime, id: string, name: string, line: string): Promise<boolean> {
  await using sandbox = await runtime.connect(id);
  const { code, stdout, stderr } = await run(sandbox, ["bash", "-c", line], { cwd: PROJECT, timeoutMs: STEP_MS });
  console.log(`${code === 0 ? "passed" : "FAILED"} ${name}`);
  if (code !== 0) console.log(`${stdout}${stderr}`);
  return code === 0;
}

async function main(directory: string): Promise<boolean> {
  await using runtime = await connect();
  await using prepared = await runtime.create({
    lifetime: { kind: "session" },
    copies: [{ hostPath: path.resolve(directory), guestPath: PROJECT, placement: "as" }],
    // Package registries, and no other host.
    network: network({ preset: "balanced" }),
  });
  const { code, stderr } = await run(prepared, ["bash", "-c", PREPARE], { cwd: PROJECT, timeoutMs: STEP_MS });
  if (code !== 0) throw new Error(`the preparation failed: ${stderr}`);
  const names = Object.keys(JOBS);
  const { sandboxes } = await runtime.fork(prepared.id, { count: names.length, lifetimeMs: STEP_MS });
  try {
    const jobs = names.map(async (name, at) => runJob(runtime, sandboxes[at]?.id ?? "", name, JOBS[name] ?? "false"));
    return (await Promise.all(jobs)).every(Boolean);
  } finally {
    await Promise.all(sandboxes.map(async ({ id }) => runtime.remove(id)));
  }
}

try {
  process.exitCode = (await main(process.argv[2] ?? ".")) ? 0 : 1;
} catch (error) {
  const hint = error instanceof SbxError && error.hint !== undefined ? `\n  try: ${error.hint}` : "";
  console.error(`${error instanceof Error ? error.message : String(error)}${hint}`);
  process.exitCode = 2;
}
