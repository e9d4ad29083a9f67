import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { buildKey, isPackageName, readRecipe } from "../../../src/vm/image/recipe.ts";
import { recipePath } from "../../../src/host/package-root.ts";
import { scratchDirectory } from "./scratch-directory.ts";

test("the recipe that is shipped can be read for both architectures", async () => {
  for (const architecture of ["amd64", "arm64"] as const) {
    const recipe = await readRecipe(recipePath(), architecture);
    assert.deepEqual(
      recipe.npm.map(({ name }) => name.replace(/x64|arm64/, "ARCH")),
      ["node-linux-ARCH", "@deno/linux-ARCH-glibc", "npm"],
    );
    assert.ok(recipe.packages.includes("python3-venv"));
  }
});

test("the guest's node is the one that the project runs on, so that npm has it already", async () => {
  const lock = JSON.parse(await readFile(path.join(recipePath(), "..", "package-lock.json"), "utf8")) as {
    packages: Record<string, { version: string; integrity: string }>;
  };
  for (const architecture of ["amd64", "arm64"] as const) {
    const node = (await readRecipe(recipePath(), architecture)).npm[0];
    const locked = lock.packages[`node_modules/${node?.name ?? ""}`];
    assert.deepEqual([node?.version, node?.integrity], [locked?.version, locked?.integrity]);
  }
});

test("a change of any file in the image changes the recipe's hash", async (context) => {
  const directory = await scratchDirectory(context);
  await cp(recipePath(), directory, { recursive: true });
  const before = await readRecipe(directory, "amd64");
  assert.equal(before.hash, (await readRecipe(recipePath(), "amd64")).hash);
  await writeFile(path.join(directory, "rootfs/etc/hosts"), "127.0.0.1 elsewhere\n");
  assert.notEqual((await readRecipe(directory, "amd64")).hash, before.hash);
});

test("a slip in the recipe stops it from being read", async (context) => {
  const directory = await scratchDirectory(context);
  await cp(recipePath(), directory, { recursive: true });
  const file = path.join(directory, "recipe.json");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace('"packages"', '"pakages"'));
  await assert.rejects(readRecipe(directory, "amd64"));
  await writeFile(file, text.replace('"/etc/hosts"', '"/etc/no-such-file"'));
  await assert.rejects(readRecipe(directory, "amd64"), { code: "ENOENT" });
});

test("a build is known by its packages in any order", async () => {
  const recipe = await readRecipe(recipePath(), "amd64");
  assert.equal(buildKey(recipe, ["b", "a"]), buildKey(recipe, ["a", "b"]));
  assert.notEqual(buildKey(recipe, ["a"]), buildKey(recipe, []));
});

test("package names are Debian's, and nothing that a tool would take for an option or a pattern", () => {
  for (const name of ["g++", "python3-numpy", "libc6-dev", "7zip"]) assert.ok(isPackageName(name), name);
  for (const name of ["", "-y", "a,b", "?essential", "~n.", "A", "a b", "a=1", "/tmp/x.deb", "a\n"]) {
    assert.ok(!isPackageName(name), name);
  }
});
