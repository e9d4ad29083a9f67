/** `walk` and `expandGlob` as std/fs of Deno has them (deno-sandbox-protocol, section 3.9). */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { type Bench, openBench, type TestClient } from "./rpc-harness.ts";
import { openRealBench } from "./real-agent.ts";
import { never } from "./scripted-agent.ts";

interface Entry {
  path: string;
  name: string;
  isFile: boolean;
  isDirectory: boolean;
  isSymlink: boolean;
}

/** The entries of a stream: each chunk must be one JSON text. */
async function entries(client: TestClient, method: string, params: unknown): Promise<Entry[]> {
  const { streamId } = await client.call<{ streamId: number }>(method, params);
  await client.streamBytes(streamId);
  const words = client.stream(streamId);
  assert.equal(words.at(-1), "end");
  return words.filter((word) => word.startsWith("data:")).map((word) => JSON.parse(word.slice(5)) as Entry);
}

const paths = async (client: TestClient, method: string, params: unknown): Promise<string[]> =>
  (await entries(client, method, params)).map((entry) => entry.path);

/** a.ts b.js sub/{c.ts,deep/d.txt} link->sub file-link->a.ts */
async function tree(home: string): Promise<void> {
  await fs.mkdir(path.join(home, "t/sub/deep"), { recursive: true });
  for (const file of ["a.ts", "b.js", "sub/c.ts", "sub/deep/d.txt", ".hidden"]) {
    await fs.writeFile(path.join(home, "t", file), "");
  }
  await fs.symlink("sub", path.join(home, "t/link"));
  await fs.symlink("a.ts", path.join(home, "t/file-link"));
}

test("a walk yields the root first and names children by the root as it was given", async (t) => {
  const { client, home } = await openRealBench(t);
  await tree(home);
  const found = await paths(client, "walk", { path: "./t/" });
  assert.equal(found[0], "t/");
  assert.deepEqual(found.slice(1).sort(), [
    "t/.hidden",
    "t/a.ts",
    "t/b.js",
    "t/file-link",
    "t/link",
    "t/sub",
    "t/sub/c.ts",
    "t/sub/deep",
    "t/sub/deep/d.txt",
  ]);
  const absolute = await paths(client, "walk", { path: `${home}/t` });
  assert.ok(absolute.includes(`${home}/t/sub/deep/d.txt`));
});

test("entries say what they are; a link is not followed", async (t) => {
  const { client, home } = await openRealBench(t);
  await tree(home);
  const found = await entries(client, "walk", { path: "t", maxDepth: 1 });
  const kind = (name: string): string[] => {
    const entry = found.find((one) => one.name === name);
    return Object.entries(entry ?? {}).flatMap(([key, value]) => (value === true ? [key] : []));
  };
  assert.deepEqual(["t", "a.ts", "link", "sub"].map(kind), [
    ["isDirectory"],
    ["isFile"],
    ["isSymlink"],
    ["isDirectory"],
  ]);
});

for (const [what, params, expected] of [
  ["maxDepth 0", { maxDepth: 0 }, ["t"]],
  ["maxDepth 1", { maxDepth: 1, includeSymlinks: false }, ["t", "t/.hidden", "t/a.ts", "t/b.js", "t/sub"]],
  [
    "files only",
    { includeDirs: false, includeSymlinks: false },
    ["t/.hidden", "t/a.ts", "t/b.js", "t/sub/c.ts", "t/sub/deep/d.txt"],
  ],
  ["directories only", { includeFiles: false, includeSymlinks: false }, ["t", "t/sub", "t/sub/deep"]],
  ["links only", { includeFiles: false, includeDirs: false }, ["t/file-link", "t/link"]],
  ["extensions with and without dot", { exts: ["ts", ".js"] }, ["t/a.ts", "t/b.js", "t/sub/c.ts"]],
  [
    "match, any of them",
    {
      match: [
        { source: "c\\.ts$", flags: "" },
        { source: "B\\.JS", flags: "i" },
      ],
    },
    ["t/b.js", "t/sub/c.ts"],
  ],
  [
    "match that keeps a position",
    {
      match: [
        { source: "\\.ts$", flags: "gy" },
        { source: "\\.ts$", flags: "g" },
      ],
    },
    ["t/a.ts", "t/sub/c.ts"],
  ],
  [
    "skip, which also keeps out of directories",
    { skip: [{ source: "sub", flags: "" }], includeSymlinks: false },
    ["t", "t/.hidden", "t/a.ts", "t/b.js"],
  ],
  [
    "skip of a directory's own path, which leaves out what is below",
    { skip: [{ source: "sub$", flags: "" }], includeSymlinks: false },
    ["t", "t/.hidden", "t/a.ts", "t/b.js"],
  ],
  ["skip of the root", { skip: [{ source: "^t", flags: "" }] }, []],
  ["an empty match", { match: [] }, []],
] as const) {
  test(`walk: ${what}`, async (t) => {
    const { client, home } = await openRealBench(t);
    await tree(home);
    assert.deepEqual((await paths(client, "walk", { path: "t", ...params })).sort(), expected);
  });
}

test("walk with followSymlinks goes through links, by real path or by the link's", async (t) => {
  const { client, home } = await openRealBench(t);
  await tree(home);
  const real = await paths(client, "walk", { path: "t", followSymlinks: true });
  assert.equal(real.filter((found) => found === `${home}/t/sub/c.ts`).length, 1);
  assert.ok(real.includes("t/sub/c.ts") && real.includes(`${home}/t/a.ts`));
  const linked = await paths(client, "walk", { path: "t", followSymlinks: true, canonicalize: false });
  assert.ok(linked.includes("t/link") && linked.includes("t/link/deep/d.txt") && linked.includes("t/file-link"));
});

test("a walk through a link to a directory is a walk of the directory under the link's name", async (t) => {
  const { client, home } = await openRealBench(t);
  await tree(home);
  assert.deepEqual((await paths(client, "walk", { path: "t/link" })).sort(), [
    "t/link",
    "t/link/c.ts",
    "t/link/deep",
    "t/link/deep/d.txt",
  ]);
});

test("a root that is not there fails the call; one that is a file fails after its entry", async (t) => {
  const { client, home } = await openRealBench(t);
  await tree(home);
  assert.equal((await client.callError("walk", { path: "none" })).constructorName, "NotFound");
  const { streamId } = await client.call<{ streamId: number }>("walk", { path: "t/a.ts" });
  await client.streamBytes(streamId);
  assert.deepEqual(
    client.stream(streamId).map((word) => word.slice(0, 5)),
    ["start", "data:", "error"],
  );
});

test("an expression that is none is a SyntaxError", async (t) => {
  const { client } = await openRealBench(t);
  const error = await client.callError("walk", { path: ".", match: [{ source: "(", flags: "" }] });
  assert.equal(error.constructorName, "SyntaxError");
});

test("an expression that would run for ever fails the walk, and the server goes on", async (t) => {
  const { client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, `${"a".repeat(60)}!`), "");
  const error = await client.callError("walk", {
    path: ".",
    includeDirs: false,
    match: [{ source: "^(a+)+$", flags: "" }],
  });
  assert.equal(error.message, "matching the patterns takes too long");
  const glob = await client.callError("expandGlob", { glob: "+(+(a))" });
  assert.equal(glob.message, "matching the patterns takes too long");
  await client.settle();
});

test("a client's cancel ends a walk in the guest", async (t) => {
  const bench: Bench = await openBench(t, {
    "fs.stat": () => STAT,
    "fs.realPath": () => "/home/app/t",
    "fs.walk": async ({ stream }, agent) => {
      await agent.produce(stream, line({ path: "/home/app/t", name: "t", type: "dir", depth: 0 }));
      return never();
    },
  });
  const { client } = await bench.connect();
  const { streamId } = await client.call<{ streamId: number }>("walk", { path: "t" });
  const { stream } = await bench.agent.call("fs.walk");
  client.notify("$sandbox.stream.cancel", { streamId, reason: { constructorName: "Error", message: "" } });
  await bench.agent.until(() => bench.agent.stopped.has(stream) && bench.agent.cancelled.includes("fs.walk"));
});

test("a walk entry of the guest's that is none, or that leaves the root, fails the stream", async (t) => {
  for (const bad of [
    "{}\n",
    "null\n",
    "x\n",
    "x".repeat(70_000),
    line({ path: "/etc", name: "etc", type: "dir", depth: 1 }),
  ]) {
    const bench = await openBench(t, {
      "fs.stat": () => STAT,
      "fs.realPath": () => "/home/app/t",
      "fs.walk": async ({ stream }, agent) => {
        await agent.produceAll(stream, line({ path: "/home/app/t", name: "t", type: "dir", depth: 0 }) + bad);
        return null;
      },
    });
    const { client } = await bench.connect();
    const { streamId } = await client.call<{ streamId: number }>("walk", { path: "t" });
    await client.streamBytes(streamId);
    assert.equal(client.stream(streamId).at(-1), "error");
  }
});

const STAT = {
  type: "dir",
  size: 0,
  mode: 0o755,
  dev: 1,
  ino: 1,
  nlink: 1,
  uid: 0,
  gid: 0,
  rdev: 0,
  blksize: 4096,
  blocks: 0,
  atime: 0,
  mtime: 0,
  ctime: 0,
  birthtime: 0,
} as const;

function line(entry: unknown): string {
  return `${JSON.stringify(entry)}\n`;
}

for (const [glob, params, expected] of [
  ["*.ts", {}, ["a.ts"]],
  ["*", {}, [".hidden", "a.ts", "b.js", "file-link", "link", "sub"]],
  ["**/*.ts", {}, ["a.ts", "sub/c.ts"]],
  ["**", { includeDirs: false }, [".hidden", "a.ts", "b.js", "file-link", "link", "sub/c.ts", "sub/deep/d.txt"]],
  ["**/", {}, ["", "sub", "sub/deep"]],
  ["sub/**", {}, ["sub", "sub/c.ts", "sub/deep", "sub/deep/d.txt"]],
  ["sub/*/", {}, ["sub/deep"]],
  ["{a,b}.{ts,js}", {}, ["a.ts", "b.js"]],
  ["[!a].js", {}, ["b.js"]],
  ["[[:alpha:]].ts", {}, ["a.ts"]],
  ["?.ts", {}, ["a.ts"]],
  ["+(a|b).+(t|j)s", {}, ["a.ts", "b.js"]],
  ["+(a|b).ts", { extended: false }, []],
  ["A.TS", { caseInsensitive: true }, []],
  ["A*.TS", { caseInsensitive: true }, ["a.ts"]],
  ["sub/../a.ts", {}, ["a.ts"]],
  ["s*/../a.ts", {}, ["a.ts"]],
  ["a.ts", {}, ["a.ts"]],
  ["none/*.ts", {}, []],
  ["a.ts/*", {}, []],
  ["a.ts/none", {}, []],
  ["*", { exclude: ["*.ts", "sub"] }, [".hidden", "b.js", "file-link", "link"]],
  ["**/*", { exclude: ["sub/**"], includeDirs: false }, [".hidden", "a.ts", "b.js", "file-link", "link"]],
  ["link/*.ts", {}, ["link/c.ts"]],
  ["*/*.ts", {}, ["sub/c.ts"]],
  ["*/*.ts", { globstar: false, followSymlinks: true, canonicalize: false }, ["sub/c.ts"]],
  ["{a", {}, []],
  ["\\a.ts", {}, ["a.ts"]],
] as const) {
  test(`expandGlob ${glob} ${JSON.stringify(params)}`, async (t) => {
    const { client, home } = await openRealBench(t);
    await tree(home);
    const root = path.join(home, "t");
    const found = await paths(client, "expandGlob", { glob, root, ...params });
    assert.deepEqual(
      found.map((one) => path.relative(root, one)),
      expected,
    );
    assert.ok(found.every((one) => path.isAbsolute(one)));
  });
}

test("expandGlob takes absolute globs, and relative ones from the home", async (t) => {
  const { client, home } = await openRealBench(t);
  await tree(home);
  assert.deepEqual(await paths(client, "expandGlob", { glob: `${home}/t/*.js` }), [`${home}/t/b.js`]);
  assert.deepEqual(await paths(client, "expandGlob", { glob: "t/*.js" }), [`${home}/t/b.js`]);
  assert.deepEqual(await paths(client, "expandGlob", { glob: "*.js", root: "t" }), [`${home}/t/b.js`]);
});
