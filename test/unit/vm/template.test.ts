/** A template is used only if it is byte for byte what was saved, and only for the machine it was saved from. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { SbxError } from "../../../src/runtime/errors.ts";
import {
  describeTemplate,
  openTemplate,
  templateKey,
  templatePaths,
  type TemplateInputs,
  type TemplatePaths,
} from "../../../src/vm/template.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const KEY = "0123456789abcdef0123456789abcdef";

async function sampleTemplate(t: TestContext): Promise<TemplatePaths> {
  const directory = path.join(temporaryDirectory(t), KEY);
  mkdirSync(directory);
  const paths = templatePaths(directory);
  for (const file of [paths.memoryPath, paths.statePath, paths.diskPath, paths.emptyLayerPath]) {
    writeFileSync(file, `content of ${path.basename(file)}`);
  }
  writeRecord(
    paths,
    await describeTemplate(paths, { key: KEY, imageId: "image", rootId: "image", accelerator: "tcg" }),
  );
  return paths;
}

function writeRecord(paths: TemplatePaths, record: unknown): void {
  writeFileSync(paths.recordPath, JSON.stringify(record));
}

function editRecord(paths: TemplatePaths, change: (record: Record<string, unknown>) => void): void {
  const record = JSON.parse(readFileSync(paths.recordPath, "utf8")) as Record<string, unknown>;
  change(record);
  writeRecord(paths, record);
}

test("an untouched template opens", async (t) => {
  const paths = await sampleTemplate(t);
  assert.equal((await openTemplate(paths.directory))?.key, KEY);
});

test("a directory without a record is no template", async (t) => {
  assert.equal(await openTemplate(path.join(temporaryDirectory(t), KEY)), undefined);
});

const DAMAGES: [string, RegExp, (paths: TemplatePaths) => void][] = [
  ["memory that was written to", /memory: it was changed/, (p) => appendFileSync(p.memoryPath, "x")],
  [
    "memory whose modification time was put back",
    /memory: it was changed/,
    (p) => {
      const { atime, mtime } = statSync(p.memoryPath);
      writeFileSync(p.memoryPath, "CONTENT OF memory");
      utimesSync(p.memoryPath, atime, mtime);
    },
  ],
  ["a truncated state", /state: it was changed/, (p) => writeFileSync(p.statePath, "")],
  ["a changed disk layer", /disk\.qcow2: it was changed/, (p) => appendFileSync(p.diskPath, "x")],
  [
    "a replaced empty layer",
    /empty\.qcow2: it was changed/,
    (p) => {
      rmSync(p.emptyLayerPath);
      writeFileSync(p.emptyLayerPath, "content of empty.qcow2");
    },
  ],
  ["a missing file", /a file is missing/, (p) => rmSync(p.memoryPath)],
  ["a record cut short", /template\.json: it does not parse/, (p) => writeFileSync(p.recordPath, '{"schema":2,')],
  ["a record of another schema", /it does not parse/, (p) => editRecord(p, (r) => (r.schema = 1))],
  ["an endless record", /it is too long/, (p) => writeFileSync(p.recordPath, " ".repeat(70_000))],
  ["a record that vouches for no file", /it was changed/, (p) => editRecord(p, (r) => (r.files = {}))],
  ["a record of another template", /it belongs to another template/, (p) => editRecord(p, (r) => (r.key = "other"))],
  [
    "a state that is not the one described",
    /state: its content is not what was saved/,
    (p) => editRecord(p, (r) => (r.stateSha256 = "0".repeat(64))),
  ],
];

for (const [what, message, damage] of DAMAGES) {
  test(`a template with ${what} is refused as broken`, async (t) => {
    const paths = await sampleTemplate(t);
    damage(paths);
    await assert.rejects(openTemplate(paths.directory), (error: unknown) => {
      assert.ok(error instanceof SbxError);
      assert.equal(error.code, "template_broken");
      assert.match(error.message, message);
      assert.equal(error.hint, "sbx setup");
      return true;
    });
  });
}

const INPUTS: TemplateInputs = {
  rootId: "image",
  rootLayers: [{ path: "/images/1/root", format: "raw" }],
  agentStamp: "agent",
  qemuVersion: "7.2.22 (Debian)",
  machine: { accelerator: { name: "tcg", cpuModel: "qemu64", tscKhz: 1000 }, memoryBytes: 1024 ** 3, cpus: 2 },
  diskBytes: 10 * 1024 ** 3,
};

test("everything that shapes the machine changes the template's key", () => {
  const { machine } = INPUTS;
  const keys = [
    INPUTS,
    { ...INPUTS, rootId: "other" },
    { ...INPUTS, rootLayers: [...INPUTS.rootLayers, { path: "/layers/1.qcow2", format: "qcow2" as const }] },
    { ...INPUTS, agentStamp: "other" },
    { ...INPUTS, qemuVersion: "7.2.22 (Ubuntu)" },
    { ...INPUTS, diskBytes: 11 * 1024 ** 3 },
    { ...INPUTS, machine: { ...machine, memoryBytes: 2 * 1024 ** 3 } },
    { ...INPUTS, machine: { ...machine, cpus: 3 } },
    { ...INPUTS, machine: { ...machine, accelerator: { ...machine.accelerator, cpuModel: "max" } } },
    { ...INPUTS, machine: { ...machine, accelerator: { ...machine.accelerator, name: "kvm" as const } } },
  ].map(templateKey);
  assert.equal(new Set(keys).size, keys.length);
  for (const key of keys) assert.match(key, /^[0-9a-f]{32}$/);
});

test("the measured clock, which differs a little each time, leaves the key as it is", () => {
  const { machine } = INPUTS;
  const other = { ...INPUTS, machine: { ...machine, accelerator: { ...machine.accelerator, tscKhz: 1001 } } };
  assert.equal(templateKey(other), templateKey(INPUTS));
});
