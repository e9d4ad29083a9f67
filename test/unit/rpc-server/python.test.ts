/** What the SDK for Python says and expects otherwise (deno-sandbox-protocol, section 8; its own source, 0.16.0). */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { dialectOf } from "../../../src/supervisor/rpc/dialect.ts";
import { openRealBench } from "./real-agent.ts";

const AGENT = "Python/3.11 websockets/17.4";

test("the SDK for Python is known by its library's name, and by that alone", () => {
  assert.equal(dialectOf(AGENT), "python");
  for (const agent of [undefined, "", "node", "Python/3.11", `x ${AGENT}`, `${AGENT} x`, "curl/8"]) {
    assert.equal(dialectOf(agent), "published", String(agent));
  }
});

test("a walk and a glob are lists for it, with their options in an object of their own", async (t) => {
  const { connect, client, home } = await openRealBench(t);
  await fs.mkdir(path.join(home, "tree/sub"), { recursive: true });
  for (const name of ["a.ts", "b.js", "sub/c.ts"]) await fs.writeFile(path.join(home, "tree", name), "");
  const python = (await connect({ agent: AGENT })).client;
  const walked = await python.call<{ path: string }[]>("walk", { path: "tree" });
  assert.deepEqual(walked.map((entry) => entry.path).toSorted(), [
    ...["tree", "tree/a.ts", "tree/b.js", "tree/sub", "tree/sub/c.ts"],
  ]);
  assert.deepEqual(await python.call("walk", { path: "tree", options: { maxDepth: 1, exts: [".ts"] } }), [
    { path: "tree/a.ts", name: "a.ts", isFile: true, isDirectory: false, isSymlink: false },
  ]);
  const found = await python.call<{ path: string }[]>("expandGlob", { glob: "**/*.ts", options: { root: "tree" } });
  assert.deepEqual(
    found.map((entry) => entry.path),
    [`${home}/tree/a.ts`, `${home}/tree/sub/c.ts`],
  );
  assert.equal((await python.callError("walk", { path: "none" })).code, "ENOENT");
  // Anybody else has streams.
  assert.deepEqual(Object.keys(await client.call<object>("walk", { path: "tree" })), ["streamId"]);
});

test("an answer that its library would hang up at is an error that says so, and the connection goes on", async (t) => {
  const { connect, client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, "large.bin"), Buffer.alloc(900_000));
  await Promise.all(
    Array.from({ length: 5000 }, async (_, at) => fs.writeFile(path.join(home, `${"n".repeat(200)}-${at}`), "")),
  );
  const python = (await connect({ agent: AGENT })).client;
  for (const [method, params] of [
    ["readFile", { path: "large.bin" }],
    ["walk", { path: "." }],
    ["expandGlob", { glob: "n*" }],
    ["readDir", { path: "." }],
  ] as const) {
    const { code, message } = await python.callError(method, params);
    assert.deepEqual([code, /1 MiB/.test(message)], ["EFBIG", true], method);
  }
  await python.settle();
  assert.equal((await client.call<string>("readFile", { path: "large.bin" })).length, 1_200_000);
});

test("a file is truncated to its `size`, and times may be seconds", async (t) => {
  const { client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, "file.txt"), "0123456789");
  const { fileHandleId } = await client.call<{ fileHandleId: number }>("open", {
    ...{ path: "file.txt", options: { read: true, write: true } },
  });
  await client.call("fileTruncate", { fileHandleId, size: 4 });
  assert.equal((await fs.stat(path.join(home, "file.txt"))).size, 4);
  await client.call("fileUtime", { fileHandleId, atime: 1_600_000_000.5, mtime: 1_600_000_000.5 });
  assert.equal((await fs.stat(path.join(home, "file.txt"))).mtimeMs, 1_600_000_000_500);
  await client.call("utime", { path: "file.txt", atime: 1_500_000_000, mtime: "2020-01-01T00:00:00Z" });
  assert.equal((await fs.stat(path.join(home, "file.txt"))).mtimeMs, Date.UTC(2020, 0, 1));
});
