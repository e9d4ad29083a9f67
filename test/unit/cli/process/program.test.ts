import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findBundledNode, isNodeRecentEnough, MINIMUM_NODE_MAJOR } from "../../../../bin/launcher.js";

const ROOT = join(import.meta.dirname, "../../../..");
const directory = mkdtempSync(join(tmpdir(), "sbx-program-"));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

function run(script: string, argv: string[], env: Record<string, string> = {}): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...argv], {
    encoding: "utf8",
    env: { ...process.env, XDG_CONFIG_HOME: directory, ...env },
  });
  return { status, stdout, stderr };
}

const dev = (...argv: string[]): Ran => run(join(ROOT, "bin/dev.js"), argv);

test("--version says the same early, in oclif's way and as a command", () => {
  const early = run(join(ROOT, "bin/run.js"), ["--version"]);
  assert.match(early.stdout, /^sbx\/\d+\.\d+\.\d+ linux-(x64|arm64) node-v\d+\.\d+\.\d+\n$/);
  assert.deepEqual(run(join(ROOT, "bin/run.js"), ["-V"]), early);
  assert.deepEqual(dev("--version"), early);
  assert.deepEqual(dev("version"), early);
});

test("the manifest is fresh: every command is in it, with its options", () => {
  const { status, stderr } = run(join(ROOT, "scripts/manifest.mjs"), ["--check"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("every command has a summary, examples that begin with sbx, and a file of at most 120 lines", () => {
  const { commands } = JSON.parse(readFileSync(join(ROOT, "oclif.manifest.json"), "utf8")) as {
    commands: Record<
      string,
      { summary?: string; hidden?: boolean; examples?: { description: string; command: string }[] }
    >;
  };
  for (const [id, { summary, examples, hidden }] of Object.entries(commands)) {
    assert.ok(summary?.endsWith("."), id);
    if (hidden !== true)
      assert.ok(
        examples?.every(({ command }) => command.includes("<%= config.bin %> ")),
        id,
      );
  }
  for (const file of readdirSync(join(ROOT, "src/commands"), { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const lines = readFileSync(join(file.parentPath, file.name), "utf8").split("\n").length;
    assert.ok(lines <= 121, `${file.name} has ${lines} lines`);
  }
});

test("help goes to stdout with status 0, for sbx, a topic and a command", () => {
  for (const argv of [
    [],
    ["--help"],
    ["help"],
    ["image"],
    ["help", "image", "list"],
    ["exec", "-h"],
    ["exec", "--help"],
  ]) {
    const { status, stdout, stderr } = dev(...argv);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, argv.join(" "));
    assert.match(stdout, /USAGE\n {2}\$ sbx /);
  }
});

test("no line of the help is wider than a terminal of 80 columns", () => {
  for (const argv of [
    ["--help"],
    ["create", "--help"],
    ["exec", "--help"],
    ["copy", "--help"],
    ["config", "list", "--help"],
  ]) {
    const { stdout } = run(join(ROOT, "bin/dev.js"), argv, { OCLIF_COLUMNS: "80" });
    for (const line of stdout.split("\n")) assert.ok(line.length <= 80, line);
  }
});

test("mistyped commands and options have status 2 and say what was meant", () => {
  const cases: [string[], string][] = [
    [["lst"], 'sbx: "lst" is not a command of sbx\n  try: did you mean: sbx list\n'],
    [["image", "lits"], 'sbx: "image lits" is not a command of sbx\n  try: did you mean: sbx image list\n'],
    [["help", "exce"], 'sbx: "exce" is not a command of sbx\n  try: did you mean: sbx exec\n'],
    [["list", "extra"], 'sbx: sbx list takes no such argument: "extra"\n  try: sbx list --help\n'],
    [["list", "--runing"], "sbx: sbx list has no option --runing\n  try: did you mean: --running\n"],
  ];
  for (const [argv, stderr] of cases) assert.deepEqual(dev(...argv), { status: 2, stdout: "", stderr }, argv.join(" "));
});

test("with --json a mistyped command is JSON on stderr, too", () => {
  const { status, stdout, stderr } = dev("lst", "--json");
  assert.deepEqual([status, stdout], [2, ""]);
  assert.deepEqual(JSON.parse(stderr), {
    error: { code: "usage", message: '"lst" is not a command of sbx', hint: "did you mean: sbx list" },
  });
});

test("complete knows the commands and their options", () => {
  assert.match(dev("complete", "--line", "sbx ex").stdout, /^exec\tRun a command in a sandbox\.\nexpose\t.*\nextend\t/);
  assert.match(dev("complete", "--", "create", "--mem").stdout, /^--memory\tMemory/);
  assert.equal(dev("complete", "--", "completion", "").stdout, "bash\nzsh\nfish\n");
});

test("the launchers agree with package.json on which Node is needed", () => {
  const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { engines: { node: string } };
  assert.equal(engines.node, `>=${MINIMUM_NODE_MAJOR}`);
  assert.match(readFileSync(join(ROOT, "bin/run.js"), "utf8"), new RegExp(`>= ${MINIMUM_NODE_MAJOR};`));
  assert.equal(isNodeRecentEnough("23.11.0"), false);
  assert.equal(isNodeRecentEnough("24.0.0"), true);
  assert.equal(isNodeRecentEnough("100.0.0"), true);
});

/** A package tree with a node package of a given version in one of the places where npm puts it. */
function nodePackage(place: string, version: string): string {
  const home = join(place, "node_modules", `node-linux-${process.arch}`);
  mkdirSync(join(home, "bin"), { recursive: true });
  writeFileSync(join(home, "package.json"), JSON.stringify({ version }));
  writeFileSync(join(home, "bin", "node"), `#!/bin/sh\necho "$SBX_LAUNCHER_PID" >&2; echo ran "$@"; exit 9\n`);
  chmodSync(join(home, "bin", "node"), 0o755);
  return join(home, "bin", "node");
}

test("a newer Node is found beside sbx and where npm hoists it to; one that is too old is not taken", () => {
  const top = join(directory, "hoisted");
  const own = join(top, "node_modules", "sbx");
  mkdirSync(join(own, "bin"), { recursive: true });
  assert.equal(findBundledNode(join(own, "bin"))?.path.startsWith(directory), undefined);
  const hoisted = nodePackage(top, "26.1.0");
  assert.deepEqual(findBundledNode(join(own, "bin")), { path: hoisted, version: "26.1.0" });
  nodePackage(own, "22.0.0");
  assert.equal(findBundledNode(join(own, "bin"))?.path, hoisted);
  const nested = nodePackage(own, "24.5.0");
  assert.deepEqual(findBundledNode(join(own, "bin")), { path: nested, version: "24.5.0" });
});

test("the launcher passes on arguments, streams and status, and ends by the signal that ended its child", () => {
  const copy = join(directory, "package");
  cpSync(join(ROOT, "bin"), join(copy, "bin"), { recursive: true });
  writeFileSync(join(copy, "package.json"), '{"type": "module", "name": "sbx", "version": "0.0.1"}');
  const node = nodePackage(copy, "26.1.0");
  const script = join(copy, "old.mjs");
  const rerun = `import { rerunOnRecentNode } from "./bin/launcher.js"; await rerunOnRecentNode("x.js", process.argv.slice(2));`;
  writeFileSync(script, rerun);
  const passed = run(script, ["a b", "--", "c"]);
  assert.deepEqual([passed.status, passed.stdout], [9, "ran -- x.js a b -- c\n"]);
  assert.match(passed.stderr, /^\d+\n$/);
  writeFileSync(node, "#!/bin/sh\nkill -TERM $$\n");
  assert.equal(spawnSync(process.execPath, [script]).signal, "SIGTERM");
});

test("an old Node without a newer one beside it is told what to do", () => {
  const copy = join(directory, "alone");
  cpSync(join(ROOT, "bin"), join(copy, "bin"), { recursive: true });
  writeFileSync(join(copy, "package.json"), '{"type": "module"}');
  writeFileSync(
    join(copy, "old.mjs"),
    `import { rerunOnRecentNode } from "./bin/launcher.js"; await rerunOnRecentNode("x.js", []);`,
  );
  const { status, stderr } = run(join(copy, "old.mjs"), []);
  assert.equal(status, 1);
  assert.match(stderr, /sbx needs Node 24 or newer\n {2}why: .*\n {2}try: npm install/);
});

test("a package that was not built says so", () => {
  const copy = join(directory, "unbuilt");
  cpSync(join(ROOT, "bin"), join(copy, "bin"), { recursive: true });
  writeFileSync(join(copy, "package.json"), '{"type": "module"}');
  const { status, stderr } = run(join(copy, "bin/run.js"), ["list"]);
  assert.equal(status, 1);
  assert.match(stderr, /has not been built\n {2}try: npm run build/);
});
