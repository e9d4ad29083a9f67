import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { findDirectCommand } from "../../../../src/cli/direct.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const copy = mkdtempSync(join(tmpdir(), "sbx-bundle-"));

before(() => {
  for (const name of ["bin", "package.json", "oclif.manifest.json"])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  mkdirSync(join(copy, "dist", "commands"), { recursive: true });
  writeFileSync(join(copy, "dist", "commands", "gone.js"), "export default class Gone {}");
  const script = `import { build } from ${JSON.stringify(join(ROOT, "scripts/build.mjs"))}; await build(process.argv[1]);`;
  execFileSync(process.execPath, ["--input-type=module", "-e", script, join(copy, "dist")]);
});
after(() => rmSync(copy, { recursive: true, force: true }));

interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

function run(program: string, argv: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...argv], {
    encoding: "utf8",
    env: { ...process.env, XDG_CONFIG_HOME: join(copy, "config"), XDG_CACHE_HOME: join(copy, "cache") },
  });
  return { status, stdout, stderr };
}

test("the bundle does what the sources do: help, commands, completion, mistakes, configuration", () => {
  const lines = [
    ["--help"],
    ["exec", "--help"],
    ["help", "image"],
    ["version", "--json"],
    ["completion", "bash"],
    ["complete", "--line", "sbx crea"],
    ["config", "list"],
    ["config", "set", "cpus", "3"],
    ["config", "get", "cpus"],
    ["lst"],
    ["exec", "box", "ls", "-l"],
    ["create", "--memory", "lots"],
    ["image", "buld"],
    ["list", "extra"],
  ];
  for (const argv of lines) {
    assert.deepEqual(run(join(copy, "bin/run.js"), argv), run(join(ROOT, "bin/dev.js"), argv), argv.join(" "));
  }
});

test("oclif's own tool finds in the bundle what the committed manifest says, which is made from the sources", () => {
  const packed = JSON.parse(readFileSync(join(ROOT, "oclif.manifest.json"), "utf8")) as unknown;
  const tool = join(ROOT, "node_modules/oclif/bin/run.js");
  execFileSync(process.execPath, [tool, "manifest"], { cwd: copy, encoding: "utf8" });
  assert.deepEqual(JSON.parse(readFileSync(join(copy, "oclif.manifest.json"), "utf8")), packed);
});

test("what oclif looks for is where the manifest says, and nothing is left of commands that are gone", () => {
  const { commands } = JSON.parse(readFileSync(join(ROOT, "oclif.manifest.json"), "utf8")) as {
    commands: Record<string, { relativePath: string[] }>;
  };
  for (const { relativePath } of Object.values(commands)) assert.ok(existsSync(join(copy, ...relativePath)));
  assert.equal(existsSync(join(copy, "dist/commands/gone.js")), false);
});

test("a file given with --env-file is for the guest: what it sets does not reach the Node that runs sbx", () => {
  const marker = join(copy, "marker");
  writeFileSync(join(copy, "evil.cjs"), `require("node:fs").writeFileSync(${JSON.stringify(marker)}, "");`);
  writeFileSync(join(copy, "vars"), `NODE_OPTIONS=--require=${join(copy, "evil.cjs")}\nSBX_CPUS=7\n`);
  const launcher = `import { rerunOnRecentNode } from ${JSON.stringify(join(ROOT, "bin/launcher.js"))};
    await rerunOnRecentNode(${JSON.stringify(join(copy, "bin/run.js"))}, process.argv.slice(1));`;
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}` };
  const line = ["config", "get", "cpus", "--env-file", join(copy, "vars")];
  // The wrong option is a mistake here, after Node has seen it: that is enough, and needs no sandbox.
  for (const argv of [
    [join(copy, "bin/run.js"), ...line],
    [process.execPath, "--input-type=module", "-e", launcher, "--", ...line],
  ]) {
    const { status, stderr } = spawnSync(argv[0] ?? "", argv.slice(1), { encoding: "utf8", env });
    assert.equal(status, 2);
    assert.match(stderr, /^sbx: sbx config get has no option --env-file\n/);
    assert.equal(existsSync(marker), false);
  }
});

test("compiled code is kept in the user's cache, not where others could put theirs", () => {
  run(join(copy, "bin/run.js"), ["version"]);
  assert.ok(existsSync(join(copy, "cache/sbx/compile-cache")));
});

test("a clear command name goes the short way, everything else to oclif", () => {
  const direct: [string[], string, string[]][] = [
    [["exec", "box", "--", "ls", "--help"], "exec", ["box", "--", "ls", "--help"]],
    [["ls", "-q"], "list", ["-q"]],
    [["image", "ls"], "image:list", []],
    [["image", "build", "x"], "image:build", ["x"]],
    [["config", "set", "cpus", "2"], "config:set", ["cpus", "2"]],
  ];
  for (const [argv, id, rest] of direct) assert.deepEqual(findDirectCommand(argv, ROOT), { id, argv: rest });
  for (const argv of [
    [],
    ["--help"],
    ["exec", "--help"],
    ["exec", "-h"],
    ["help"],
    ["complete", "x"],
    ["image"],
    ["lst"],
    ["--", "exec"],
    ["constructor"],
    ["__proto__"],
  ]) {
    assert.equal(findDirectCommand(argv, ROOT), undefined, argv.join(" "));
  }
});
