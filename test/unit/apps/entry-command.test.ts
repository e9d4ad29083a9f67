/** What a revision is started as, and the ports that a guest says it listens on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildCommands, startOf } from "../../../src/runtime/local/apps/build-commands.ts";
import { entryCommand } from "../../../src/runtime/local/apps/entry-command.ts";
import { listeningPorts } from "../../../src/runtime/local/apps/listening-ports.ts";
import type { AppConfig } from "../../../src/runtime/apps.ts";
import { FakeFiles } from "../../fake-files.ts";

async function commandOf(config: AppConfig, files: Record<string, string>): Promise<string[]> {
  const guest = new FakeFiles(() => undefined);
  for (const [name, text] of Object.entries(files)) guest.contents.set(`/app/src/${name}`, Buffer.from(text));
  return entryCommand(config, guest);
}

const dynamic = (entrypoint: string, args?: string[]): AppConfig => ({
  runtime: { type: "dynamic", entrypoint, ...(args && { args }) },
});

test("an entry point is started by what it is", async () => {
  const serves = "export default { fetch() {} }";
  assert.deepEqual(await commandOf({}, { "main.ts": "Deno.serve()" }), [
    "deno",
    "run",
    "--allow-all",
    "--no-prompt",
    "main.ts",
  ]);
  assert.deepEqual((await commandOf(dynamic("a.ts", ["x y"]), { "a.ts": serves })).slice(0, 2), ["deno", "serve"]);
  assert.deepEqual((await commandOf(dynamic("a.ts", ["x y"]), { "a.ts": serves })).slice(-2), ["a.ts", "x y"]);
  assert.deepEqual(await commandOf(dynamic("a.py"), { "a.py": "" }), ["python3", "a.py"]);
  assert.deepEqual(await commandOf(dynamic("a.cjs"), { "a.cjs": "" }), ["node", "a.cjs"]);
  assert.deepEqual(await commandOf(dynamic("a.js"), { "a.js": "", "package.json": "{}" }), ["node", "a.js"]);
  const both = { "a.js": "", "package.json": "{}", "deno.json": "{}" };
  assert.equal((await commandOf(dynamic("a.js"), both))[0], "deno");
  assert.deepEqual(await commandOf(dynamic("bin/run", ["-v"]), { "bin/run": "#!/bin/sh\n" }), ["./bin/run", "-v"]);
  assert.deepEqual(await commandOf(dynamic("server"), { server: "\u007fELF" }), ["./server"]);
  const site = await commandOf({ runtime: { type: "static", cwd: "public", spa: true } }, {});
  assert.deepEqual([site[0], site.slice(-3)], ["node", ["public", "8000", "spa"]]);
});

test("what is not there, or is no program, is refused with the way out", async () => {
  await assert.rejects(commandOf(dynamic("none.ts"), {}), {
    code: "usage",
    message: /"none.ts" cannot be run: it is not among/,
  });
  await assert.rejects(commandOf(dynamic("a.txt"), { "a.txt": "text" }), { code: "usage", message: /no program/ });
});

test("commands of a config go before those of its framework, and null is none", () => {
  assert.deepEqual(buildCommands({ framework: "nextjs" }), { install: "npm install", build: "npm run build" });
  assert.deepEqual(buildCommands({ framework: "nextjs", install: null, build: " " }), {});
  assert.deepEqual(buildCommands({ build: "make" }), { build: "make" });
  assert.deepEqual(startOf("lume"), { site: "_site" });
});

test("listening sockets are told from others, and what is no table says nothing", () => {
  const table = [
    "  sl  local_address rem_address   st",
    "   0: 0100007F:1F90 00000000:0000 0A 0",
    "   1: 0100007F:0050 0100007F:C001 01 0",
    "   2: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0",
    "   3: nonsense",
    "   4: 0100007F:FFFFFF 0:0 0A",
  ].join("\n");
  assert.deepEqual(listeningPorts(table), [8080, 3000]);
  assert.deepEqual(listeningPorts(""), []);
});
