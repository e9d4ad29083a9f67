/**
 * The package as another project has it: packed, unpacked into that project's node_modules, and imported from there by
 * plain Node. It brings nothing along and needs nothing that it does not bring.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const execute = promisify(execFile);
const ROOT = path.join(import.meta.dirname, "../../..");
const project = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
const installed = path.join(project, "node_modules", "sbx");

const STRICT = {
  target: "es2024",
  lib: ["es2024", "esnext.disposable"],
  module: "nodenext",
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  noEmit: true,
};

/** What a user of the library writes. */
const TYPED = `
import { connect, network, run, SbxError, type ConnectOptions, type Runtime, type SandboxInfo } from "sbx";

const options: ConnectOptions = { context: "local", settings: { memoryBytes: 512 * 1024 ** 2 } };
const elsewhere: ConnectOptions[] = [{ context: "work" }, { url: "https://sandboxes.example", token: "ddo_x" }];
await using runtime: Runtime = await connect(options);
const all: SandboxInfo[] = await runtime.list({ labels: { project: "shop" }, signal: AbortSignal.timeout(1000) });
await using sandbox = await runtime.create({
  lifetime: { kind: "session" },
  network: network({ allow: ["api.example.com:443"], secrets: { EXAMPLE_API_KEY: ["api.example.com"] } }),
});
try {
  const { code, stdout } = await run(sandbox, ["echo", "hello"], { timeoutMs: 1000 });
  const text: string = new TextDecoder().decode(await sandbox.files.read("/etc/hostname"));
  console.log(all.length, code, stdout, text, elsewhere.length);
} catch (error) {
  if (error instanceof SbxError && error.code === "command_not_found") console.log(error.hint);
}
// @ts-expect-error: a command has at least one word
await run(sandbox, []);
// @ts-expect-error: there is no such code
if (new SbxError("usage", "x").code === "nonsense") throw new Error();
`;

/** Says what its process is like, besides what it asked for. */
const PROGRAM = `
import * as sbx from "sbx";
const home = process.argv[2];
const failures = [];
const attempt = async (work) => {
  try { await work(); } catch (error) { failures.push([error instanceof sbx.SbxError, error.code, error.exitCode]); }
};
let list;
{
  await using runtime = await sbx.connect({ home });
  list = await runtime.list();
  await attempt(() => runtime.connect("nobody"));
}
await attempt(() => sbx.connect({ context: "elsewhere" }));
await attempt(() => sbx.connect({ home: "relative" }));
await attempt(() => sbx.connect({ home, settings: { memoryBytes: "1G" } }));
await attempt(() => sbx.connect({ home, settings: { memory: 1 } }));
await attempt(async () => sbx.network({ allow: ["ht tp://"] }));
const signals = ["SIGINT", "SIGTERM", "SIGHUP", "exit", "uncaughtException", "unhandledRejection", "beforeExit"];
const listeners = signals.filter((name) => process.listenerCount(name) > 0);
console.log(JSON.stringify({ list, failures, listeners, names: Object.keys(sbx).sort(), exitCode: process.exitCode ?? 0 }));
`;

before(async () => {
  // Packing takes what has been built; this test builds into a copy of its own, as others use dist/ meanwhile.
  const copy = path.join(project, "copy");
  mkdirSync(path.join(copy, "dist"), { recursive: true });
  const parts = ["bin", "docs", "examples", "image", "package.json", "oclif.manifest.json", "README.md"];
  for (const name of parts) cpSync(path.join(ROOT, name), path.join(copy, name), { recursive: true });
  const script = `
    import { build } from ${JSON.stringify(path.join(ROOT, "scripts/build.mjs"))};
    import { buildTypes } from ${JSON.stringify(path.join(ROOT, "scripts/build-types.mjs"))};
    await build(process.argv[1]);
    await buildTypes(process.argv[1]);`;
  await execute(process.execPath, ["--input-type=module", "-e", script, path.join(copy, "dist")]);
  const flags = ["--ignore-scripts", "--offline", "--pack-destination", project];
  await execute("npm", ["pack", ...flags], { cwd: copy });
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz"));
  mkdirSync(installed, { recursive: true });
  await execute("tar", ["-xzf", path.join(project, tarball ?? ""), "--strip-components=1", "-C", installed]);
  rmSync(copy, { recursive: true });
  writeFileSync(path.join(project, "package.json"), JSON.stringify({ type: "module" }));
});

after(() => rmSync(project, { recursive: true, force: true }));

test("strict TypeScript takes its declarations, which need Node's types and no others", async () => {
  mkdirSync(path.join(project, "node_modules", "@types"), { recursive: true });
  for (const name of ["@types/node", "undici-types"]) {
    symlinkSync(path.join(ROOT, "node_modules", name), path.join(project, "node_modules", name));
  }
  writeFileSync(path.join(project, "typed.ts"), TYPED);
  writeFileSync(path.join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT, files: ["typed.ts"] }));
  const compiler = path.join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const { stdout } = await execute(process.execPath, [compiler, "-p", project]).catch((error: unknown) => {
    throw new Error((error as { stdout: string }).stdout);
  });
  assert.equal(stdout, "");
  const declarations = readFileSync(path.join(installed, "dist", "index.d.ts"), "utf8");
  assert.deepEqual(
    [...declarations.matchAll(/from ['"]([^'"]+)['"]/g)].map(([, name]) => name),
    ["node:stream"],
  );
  // What is behind the interface is nobody's business.
  assert.doesNotMatch(declarations, /LocalRuntime|RpcClient|SandboxRow|supervisorScript/);
});

test("plain Node imports it; it prints nothing, listens to no signal, and its errors have codes", async () => {
  writeFileSync(path.join(project, "program.mjs"), PROGRAM);
  const home = path.join(project, "home");
  const { stdout, stderr } = await execute(process.execPath, ["program.mjs", home], { cwd: project });
  const { names, ...rest } = JSON.parse(stdout) as { names: string[] };
  assert.deepEqual(rest, {
    list: [],
    failures: [
      [true, "sandbox_not_found", 1],
      [true, "context_not_found", 2],
      [true, "usage", 2],
      [true, "usage", 2],
      [true, "usage", 2],
      [true, "usage", 2],
    ],
    listeners: [],
    exitCode: 0,
  });
  assert.equal(stderr, "");
  const declarations = readFileSync(path.join(installed, "dist", "index.d.ts"), "utf8");
  const values = /^export \{ (.*) \};$/m.exec(declarations)?.[1]?.split(", ").sort();
  assert.deepEqual(names, values);
});

test("it finds its own parts beside it, wherever it is installed", () => {
  const parts = readdirSync(path.join(installed, "dist"));
  for (const name of ["index.js", "supervisor.js", "hook-host.js"]) assert.ok(parts.includes(name), name);
  assert.ok(readdirSync(path.join(installed, "image")).includes("recipe.json"));
});
