import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import ConfigGet from "../../../../src/commands/config/get.ts";
import ConfigList from "../../../../src/commands/config/list.ts";
import ConfigSet from "../../../../src/commands/config/set.ts";
import ConfigUnset from "../../../../src/commands/config/unset.ts";
import List from "../../../../src/commands/list.ts";
import { configPath } from "../../../../src/cli/settings/config-path.ts";
import { loadSettings } from "../../../../src/cli/settings/load.ts";
import { DEFAULT_SETTINGS } from "../../../../src/runtime/defaults.ts";
import { runCommand, type RunResult } from "../run-command.ts";

const home = mkdtempSync(join(tmpdir(), "sbx-config-"));
const env = { XDG_CONFIG_HOME: home };
const path = join(home, "sbx", "config.json");

beforeEach(() => rmSync(join(home, "sbx"), { recursive: true, force: true }));
after(() => rmSync(home, { recursive: true, force: true }));

function writeConfig(text: string): void {
  mkdirSync(join(home, "sbx"), { recursive: true });
  writeFileSync(path, text);
}

async function config(
  command: typeof ConfigGet | typeof ConfigSet | typeof ConfigUnset | typeof ConfigList,
  argv: string[],
  more: Record<string, string> = {},
): Promise<RunResult> {
  return runCommand(command, "config:x", argv, { env: { ...env, ...more } });
}

test("without a file and variables the defaults hold", () => {
  const { settings, sources } = loadSettings(env);
  assert.deepEqual(settings, DEFAULT_SETTINGS);
  assert.deepEqual(new Set(Object.values(sources)), new Set(["default"]));
});

test("the file wins over the default, a variable over the file, an empty variable over nothing", () => {
  writeConfig('{"memory": "2GiB", "cpus": 4, "timeout": "1h", "image": "data"}');
  const { settings, sources } = loadSettings({ ...env, SBX_MEMORY: "4G", SBX_ACCEL: "tcg", SBX_DISK: "" });
  assert.deepEqual(settings, {
    memoryBytes: 4 * 1024 ** 3,
    cpus: 4,
    diskBytes: DEFAULT_SETTINGS.diskBytes,
    timeoutMs: 3_600_000,
    image: "data",
    accelerator: "tcg",
  });
  assert.deepEqual(sources, {
    memory: "environment",
    cpus: "file",
    disk: "default",
    timeout: "file",
    image: "file",
    accel: "environment",
  });
});

test("a configuration that does not hold stops every command with status 2, file and line", async () => {
  const cases: [string, string][] = [
    ['{"memory": "2GiB",\n "cpus": }', `${path}:2: not valid JSON`],
    ["{\n", `${path}:2: not valid JSON`],
    ["[]", `${path}:1: the configuration must be a JSON object`],
    ['{\n\n "memroy": "1G"}', `${path}:3: "memroy" is not a setting; did you mean memory?`],
    ['{"memory": 5}', `${path}:1: memory must be a string`],
    ['{"cpus": 2,\n"memory": "lots"}', `${path}:2: memory: "lots" is not a size`],
    ['{"cpus": 1.5}', `${path}:1: cpus: "1.5" is not a whole number`],
    ['{"accel": "magic"}', `${path}:1: accel: "magic" is not an accelerator`],
  ];
  for (const [text, message] of cases) {
    writeConfig(text);
    const result = await runCommand(List, "list", [], { env });
    assert.equal(result.status, 2, text);
    assert.equal(result.stderr.split("\n")[0], `sbx: ${message}`);
    assert.deepEqual(result.runtime.calls, []);
  }
});

test("a variable that does not hold is named", () => {
  assert.throws(() => loadSettings({ ...env, SBX_CPUS: "many" }), {
    code: "config_invalid",
    exitCode: 2,
    message: 'the environment variable SBX_CPUS: "many" is not a whole number',
  });
});

test("a relative XDG_CONFIG_HOME is ignored, as its specification says", () => {
  assert.equal(configPath({ XDG_CONFIG_HOME: "rel", HOME: "/home/me" }), "/home/me/.config/sbx/config.json");
});

test("config set writes a file of its owner's alone, and get reads it", async () => {
  assert.equal((await config(ConfigSet, ["memory", "2048MiB"])).status, 0);
  assert.equal((await config(ConfigSet, ["cpus", "4"])).status, 0);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), { memory: "2GiB", cpus: "4" });
  assert.equal((await config(ConfigGet, ["memory"])).stdout, "2GiB\n");
});

test("config set refuses what would not hold, and leaves the file as it was", async () => {
  writeConfig('{"cpus": "2"}');
  for (const argv of [
    ["memory", "none"],
    ["memroy", "1G"],
    ["cpus", "0"],
    ["image", "a/b"],
  ]) {
    assert.equal((await config(ConfigSet, argv)).status, 2, argv.join(" "));
  }
  assert.equal(readFileSync(path, "utf8"), '{"cpus": "2"}');
});

test("config set does not write over a file that it cannot read", async () => {
  writeConfig("{broken");
  assert.equal((await config(ConfigSet, ["cpus", "2"])).status, 2);
  assert.equal(readFileSync(path, "utf8"), "{broken");
});

test("config set keeps a configuration that is a link to somewhere else", async () => {
  mkdirSync(join(home, "sbx"), { recursive: true });
  const real = join(home, "dotfiles.json");
  writeFileSync(real, "{}");
  symlinkSync(real, path);
  await config(ConfigSet, ["cpus", "3"]);
  assert.deepEqual(JSON.parse(readFileSync(real, "utf8")), { cpus: "3" });
});

test("config set says when a variable wins over what was set", async () => {
  const result = await config(ConfigSet, ["cpus", "3"], { SBX_CPUS: "4" });
  assert.equal(result.stderr, "sbx: SBX_CPUS is set and wins over the file\n");
});

test("config unset takes a key out, and is content when there is none", async () => {
  writeConfig('{"cpus": "2", "memory": "2GiB"}');
  assert.equal((await config(ConfigUnset, ["cpus"])).status, 0);
  assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), { memory: "2GiB" });
  const again = await config(ConfigUnset, ["cpus", "--json"]);
  assert.deepEqual(JSON.parse(again.stdout), { key: "cpus", removed: false, path });
});

test("config list says where each value comes from", async () => {
  writeConfig('{"cpus": "3"}');
  const result = await config(ConfigList, [], { SBX_TIMEOUT: "1h" });
  assert.equal(
    result.stdout,
    [
      "KEY      VALUE    SOURCE",
      "memory   1280MiB  default",
      `cpus     3        file (${path})`,
      "disk     10GB     default",
      "timeout  1h       environment (SBX_TIMEOUT)",
      "image    default  default",
      "accel    auto     default",
      "",
    ].join("\n"),
  );
});
