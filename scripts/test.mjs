/**
 * `npm test`: sets up whatever is missing, then every check there is; each check counts as one test. The last line is
 * `N passed, N failed, N skipped`. Plain JavaScript that runs on Node 20.
 *
 *   npm test                 everything
 *   npm test -- --unit       no virtual machines
 *   npm test -- --vm         virtual machines only (the boundary included)
 *   npm test -- WORD…        the test files with one of the words in their path
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { COUNTS_PREFIX } from "./test-reporter.mjs";
import { PYTHON_LISTS, pythonPackages } from "./python-packages.mjs";
import { NODE, prepareMachine, prepareProject, projectPath } from "./setup-project.mjs";
import { inClosedNetwork } from "./closed-network.mjs";
import { prepareSystem } from "./setup-system.mjs";
import { SetupError, main, say } from "./steps.mjs";

/** No test takes so long; one that hangs must not hold up the others for good. */
const UNIT_DEADLINE_MS = 2 * 60 * 1000;
const VM_DEADLINE_MS = 10 * 60 * 1000;
/** Of the files with virtual machines; it takes as long as the boundary and the others. */
const FIRST_PART = 0.55;
/** A file has many tests; its process is ended so many test deadlines after its start. */
const FILE_DEADLINES = 2;

const BIN = (name) => path.join("node_modules", ...name.split("/"));

/** What each check is called, and its command. */
const CHECKS = [
  { title: "types", argv: [...NODE, BIN("typescript/bin/tsc"), "--noEmit", "-p", "."] },
  { title: "types of the examples", argv: [...NODE, BIN("typescript/bin/tsc"), "--noEmit", "-p", "examples/hooks"] },
  {
    title: "types of the library's examples",
    argv: [...NODE, BIN("typescript/bin/tsc"), "--noEmit", "-p", "examples"],
  },
  { title: "lint", argv: [...NODE, BIN("eslint/bin/eslint.js"), "--max-warnings", "0", "."] },
  { title: "format", argv: [...NODE, BIN("prettier/bin/prettier.cjs"), "--check", "--log-level", "warn", "."] },
  { title: "layers", argv: [...NODE, BIN("dependency-cruiser/bin/dependency-cruiser.mjs"), "src"] },
  { title: "command manifest", argv: [...NODE, "scripts/manifest.mjs", "--check"] },
  { title: "go vet", argv: ["go", "vet", "./..."], cwd: "guest" },
  { title: "gofmt", argv: ["gofmt", "-l", "."], cwd: "guest", silent: true },
];

/** Sums of everything that ran. */
const total = { passed: 0, failed: 0, skipped: 0 };

function count({ passed = 0, failed = 0, skipped = 0 }) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}

/** Runs a program; its output goes to `onLine`. Resolves to its exit status. */
async function stream(argv, { cwd = projectPath, onLine, env = {} }) {
  const child = spawn(argv[0], argv.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const forward = (signal) => {
    child.kill(signal);
    process.exitCode = 1;
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, forward);
  const read = async (source) => {
    for await (const line of createInterface({ input: source, crlfDelay: Infinity })) onLine(line);
  };
  const ended = new Promise((resolve) => {
    child.once("error", (error) => {
      onLine(`${argv[0]}: ${error.message}`);
      resolve(127);
    });
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  const [status] = await Promise.all([ended, read(child.stdout), read(child.stderr)]);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.off(signal, forward);
  // Stopped by the user: what would come next has not been asked for any more.
  if (process.exitCode === 1) throw new SetupError("interrupted");
  return status;
}

/** A check passes with status 0, and a silent one only if it has nothing to say. */
async function check({ title, argv, cwd, silent = false }) {
  const lines = [];
  const started = Date.now();
  const directory = path.join(projectPath, cwd ?? "");
  const status = await stream(argv, { cwd: directory, onLine: (line) => lines.push(line) });
  const good = status === 0 && !(silent && lines.length > 0);
  count(good ? { passed: 1 } : { failed: 1 });
  console.log(`${good ? "ok  " : "FAIL"} ${title} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  if (!good) for (const line of lines) console.log(`    ${line}`);
}

/** Go's tests, counted one by one without their subtests. */
async function goTests() {
  console.log("go test");
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const output = new Map();
  const status = await stream(["go", "test", "-json", "./..."], {
    cwd: path.join(projectPath, "guest"),
    onLine: (line) => readGoEvent(line, sum, output),
  });
  // A package that does not compile has no test that fails.
  if (status !== 0 && sum.failed === 0) sum.failed = 1;
  count(sum);
  console.log(
    `  ${status === 0 ? "ok  " : "FAIL"} guest: ${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`,
  );
}

function readGoEvent(line, sum, output) {
  let event;
  try {
    event = JSON.parse(line);
  } catch {
    console.log(`    ${line}`); // Not of the test runner: the compiler's complaints.
    return;
  }
  const name = `${event.Package} ${event.Test ?? ""}`;
  if (event.Action === "output") output.set(name, `${output.get(name) ?? ""}${event.Output}`);
  if (event.Action === "build-output") console.log(`    ${event.Output.trimEnd()}`);
  if (event.Action === "fail") console.log(`\nFAILED: ${name}\n${(output.get(name) ?? "").replace(/^/gm, "    ")}`);
  if (event.Test === undefined || event.Test.includes("/")) return;
  if (event.Action === "pass") sum.passed += 1;
  if (event.Action === "fail") sum.failed += 1;
  if (event.Action === "skip") sum.skipped += 1;
}

/** Node's tests; `concurrency` files at a time. */
async function nodeTests(title, files, { concurrency, deadlineMs, place = inThisNetwork }) {
  if (files.length === 0) return;
  console.log(title);
  const flags = ["--test", `--test-concurrency=${concurrency}`, `--test-timeout=${deadlineMs}`];
  const deadline = ["--import", "./scripts/test-deadline.mjs"];
  const reporter = ["--test-reporter=./scripts/test-reporter.mjs", "--test-reporter-destination=stdout"];
  let counts;
  const { argv, env } = place([...NODE, ...deadline, ...flags, ...reporter, ...files]);
  const status = await stream(argv, {
    // A test must not take itself for a part of this run, nor find the answers of a user's configuration.
    env: {
      ...env,
      NODE_TEST_CONTEXT: undefined,
      NO_COLOR: "1",
      SBX_TEST_FILE_DEADLINE_MS: String(FILE_DEADLINES * deadlineMs),
    },
    onLine: (line) => {
      if (line.startsWith(COUNTS_PREFIX)) counts = JSON.parse(line.slice(COUNTS_PREFIX.length));
      else console.log(line);
    },
  });
  if (counts !== undefined) count(counts);
  if (counts === undefined || (status !== 0 && counts.failed === 0)) {
    console.log(`FAIL ${title}: the test runner ended with ${status}`);
    count({ failed: 1 });
  }
}

const inThisNetwork = (argv) => ({ argv, env: {} });

function testFiles(directory, words) {
  const start = path.join(projectPath, "test", directory);
  if (!existsSync(start)) return [];
  return readdirSync(start, { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => path.join("test", directory, name))
    .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
    .sort();
}

function readArguments(argv) {
  const words = argv.filter((word) => !word.startsWith("-"));
  const flags = new Set(argv.filter((word) => word.startsWith("-")));
  for (const flag of flags) {
    if (!["--unit", "--vm"].includes(flag)) throw new SetupError(`npm test knows no ${flag}`, "npm test -- --unit");
  }
  const both = flags.size !== 1;
  return { words, unit: both || flags.has("--unit"), vm: both || flags.has("--vm") };
}

await main(async () => {
  const wanted = readArguments(process.argv.slice(2));
  await prepareSystem({ tests: true });
  await prepareProject();
  for (const list of PYTHON_LISTS) await pythonPackages(list);
  const units = wanted.unit ? testFiles("unit", wanted.words) : [];
  const machines = wanted.vm ? testFiles("vm", wanted.words) : [];
  const boundary = wanted.vm ? testFiles("boundary", wanted.words) : [];
  if (wanted.unit && wanted.words.length === 0) {
    for (const item of CHECKS) await check(item);
    await goTests();
  }
  await nodeTests("unit tests", units, { concurrency: 2, deadlineMs: UNIT_DEADLINE_MS });
  if (machines.length + boundary.length > 0) {
    say("getting this machine ready for virtual machines");
    await prepareMachine();
    const oneByOne = { concurrency: 1, deadlineMs: VM_DEADLINE_MS };
    // Side by side: most of the time a machine waits, and the boundary has a network of its own.
    const half = Math.ceil(machines.length * FIRST_PART);
    const behindTheBoundary = async () => {
      await nodeTests("tests of the boundary", boundary, { ...oneByOne, place: inClosedNetwork });
      await nodeTests("tests with virtual machines, the rest", machines.slice(half), oneByOne);
    };
    await Promise.all([
      nodeTests("tests with virtual machines", machines.slice(0, half), oneByOne),
      behindTheBoundary(),
    ]);
  }
  if (total.passed + total.failed + total.skipped === 0) throw new SetupError("no test has that in its path");
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed === 0 ? 0 : 1;
});
