/** The published protocol, spoken by a client that knows nothing of sbx, with a real guest behind it. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { request } from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { untilClean } from "./support/leftovers.ts";
import { PublishedClient } from "./support/published-client.ts";
import { openTestHome } from "./support/test-home.ts";

interface Spawned {
  pid: number;
  stdoutStreamId: number;
  stderrStreamId: number;
  watcherId?: string | null;
}

const home = await openTestHome();
let id = "";
let socketPath = "";
let client: PublishedClient;
before(async () => {
  id = await home.create("--timeout", "20m");
  socketPath = path.join(home.paths.socketsPath, `${id}.sock`);
  client = await PublishedClient.open(socketPath, id);
});
after(async () => {
  client[Symbol.dispose]();
  await home[Symbol.asyncDispose]();
});

const piped = { stdout: "piped", stderr: "piped" };

test("the handshake names the sandbox, and the socket is its user's alone", async () => {
  assert.equal(client.headers["x-deno-sandbox-id"], id);
  assert.equal(client.headers["x-sbx-extensions"], undefined);
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600);
  await assert.rejects(PublishedClient.open(socketPath, "sbx_loc_00000000000000000000"), /404/);
});

test("spawn, streams in both directions and wait", async () => {
  const stdinStreamId = client.startStream();
  const spawned = (await client.call("spawn", { command: "sha256sum", args: [], stdinStreamId, ...piped })) as Spawned;
  const hash = createHash("sha256");
  for (let i = 0; i < 32; i += 1) {
    const chunk = randomBytes(50_000 + i);
    hash.update(chunk);
    client.sendChunk(stdinStreamId, chunk);
  }
  client.endStream(stdinStreamId);
  const [out, err, status] = await Promise.all([
    client.readAll(spawned.stdoutStreamId),
    client.readAll(spawned.stderrStreamId),
    client.call("processWait", { pid: spawned.pid }),
  ]);
  assert.equal(out.toString(), `${hash.digest("hex")}  -\n`);
  assert.equal(err.length, 0);
  assert.deepEqual(status, { success: true, code: 0, signal: null, oom: null });
});

test("kill sends a signal, and wait tells which one ended the process", async () => {
  const { pid } = (await client.call("spawn", {
    command: "sleep",
    args: ["1000"],
    stdout: "null",
    stderr: "null",
  })) as Spawned;
  const waiting = client.call("processWait", { pid });
  await client.call("processKill", { pid });
  assert.deepEqual(await waiting, { success: false, code: 143, signal: "SIGTERM", oom: null });
  await assert.rejects(client.call("spawn", { command: "no-such-command", ...piped }), { name: "NotFound" });
});

test("environment, files, handles and errors with their classes", async () => {
  await client.call("envSet", { key: "GREETING", value: "hello" });
  assert.equal(await client.call("envGet", { key: "GREETING" }), "hello");
  const echo = (await client.call("spawn", { command: "printenv", args: ["GREETING"], ...piped })) as Spawned;
  assert.equal((await client.readAll(echo.stdoutStreamId)).toString(), "hello\n");
  await client.call("mkdir", { path: "proto/a/b", options: { recursive: true } });
  await client.call("writeTextFile", { path: "proto/a/t.txt", content: "text ☃" });
  const bytes = randomBytes(70_000);
  await client.call("writeFile", { path: "proto/a/b/raw.bin", content: bytes.toString("base64") });
  assert.equal(await client.call("readTextFile", { path: "proto/a/t.txt" }), "text ☃");
  assert.equal(await client.call("readFile", { path: "/home/app/proto/a/b/raw.bin" }), bytes.toString("base64"));
  const { size, isFile } = (await client.call("stat", { path: "proto/a/b/raw.bin" })) as {
    size: number;
    isFile: boolean;
  };
  assert.deepEqual([size, isFile], [70_000, true]);
  const { fileHandleId } = (await client.call("open", { path: "proto/a/t.txt", options: { read: true } })) as {
    fileHandleId: number;
  };
  await client.call("fileSeek", { fileHandleId, offset: 5, whence: 0 });
  assert.deepEqual(await client.call("fileRead", { fileHandleId, length: 100 }), {
    data: Buffer.from("☃").toString("base64"),
  });
  assert.deepEqual(await client.call("fileRead", { fileHandleId, length: 100 }), { data: null });
  await client.call("fileClose", { fileHandleId });
  await assert.rejects(client.call("readFile", { path: "proto/none" }), { name: "NotFound", code: "ENOENT" });
  await assert.rejects(client.call("writeTextFile", { path: "/etc/passwd", content: "" }), {
    name: "PermissionDenied",
  });
});

test("walk and expandGlob give one entry a piece", async () => {
  for (const [method, params, expected] of [
    [
      "walk",
      {
        path: "proto",
        maxDepth: 9,
        includeFiles: true,
        includeDirs: false,
        includeSymlinks: false,
        followSymlinks: false,
        canonicalize: false,
      },
      ["raw.bin", "t.txt"],
    ],
    [
      "expandGlob",
      {
        glob: "proto/**/*.bin",
        extended: true,
        globstar: true,
        caseInsensitive: false,
        includeDirs: false,
        followSymlinks: false,
        canonicalize: false,
      },
      ["raw.bin"],
    ],
  ] as const) {
    const { streamId } = (await client.call(method, params)) as { streamId: number };
    const names: string[] = [];
    for await (const piece of client.read(streamId))
      names.push((JSON.parse(piece.toString()) as { name: string }).name);
    assert.deepEqual(names.sort(), expected, method);
  }
});

test("spawnDeno runs code, TypeScript too, and passes its arguments", async () => {
  const code = "const n: number = 6; console.log(n * 7, Deno.args.join());";
  const spawned = (await client.call("spawnDeno", {
    code,
    extension: "ts",
    scriptArgs: ["a", "b"],
    ...piped,
  })) as Spawned;
  const [out, err, status] = await Promise.all([
    client.readAll(spawned.stdoutStreamId),
    client.readAll(spawned.stderrStreamId),
    client.call("processWait", { pid: spawned.pid }),
  ]);
  assert.equal(out.toString(), "42 a,b\n", err.toString());
  assert.deepEqual(status, { success: true, code: 0, signal: null, oom: null });
  assert.equal(spawned.watcherId, null);
});

test("the REPL keeps its state, calls functions, reports what is thrown, and closes", async () => {
  const { pid } = (await client.call("spawnDenoRepl", { ...piped })) as Spawned;
  await client.call("denoReplEval", { pid, code: "let total = 40; const add = (n) => total += n;" });
  assert.equal(await client.call("denoReplCall", { pid, fn: "add", args: [2] }), 42);
  assert.deepEqual(await client.call("denoReplEval", { pid, code: "({ total, list: [1, 'two'] })" }), {
    total: 42,
    list: [1, "two"],
  });
  await assert.rejects(client.call("denoReplEval", { pid, code: "throw new RangeError('too far')" }), {
    name: "RangeError",
    message: /too far/,
  });
  const waiting = client.call("processWait", { pid });
  await client.call("denoReplClose", { pid });
  assert.equal(((await waiting) as { code: number }).code, 0);
});

test("a server of the guest is waited for and fetched from, with a body in both directions", async () => {
  const code =
    "Deno.serve(async (r) => new Response(`${r.method} ${new URL(r.url).pathname} ${await r.text()}`, { status: 201, headers: { 'x-guest': 'yes' } }));";
  const { pid } = (await client.call("spawnDeno", { code, extension: "ts", ...piped })) as Spawned;
  assert.equal(await client.call("denoHttpWait", { pid }), true);
  const bodyStreamId = client.startStream();
  client.sendChunk(bodyStreamId, Buffer.from("a body"));
  client.endStream(bodyStreamId);
  const answer = (await client.call("fetch", {
    url: "http://localhost/path",
    method: "POST",
    headers: [["x-a", "b"]],
    redirect: "follow",
    pid,
    bodyStreamId,
  })) as {
    status: number;
    headers: [string, string][];
    bodyStreamId: number;
  };
  assert.equal(answer.status, 201);
  assert.equal(new Map(answer.headers).get("x-guest"), "yes");
  assert.equal((await client.readAll(answer.bodyStreamId)).toString(), "POST /path a body");
  await client.call("processKill", { pid, signal: "SIGKILL" });
});

test("unknown methods and bad parameters are refused, and the connection stays", async () => {
  await assert.rejects(client.call("noSuchMethod"), /-32601/);
  await assert.rejects(client.call("readFile", { path: 7 }), /-32602/);
  assert.equal(await client.call("abort", { abortId: 999 }), null);
  assert.equal(await client.call("envGet", { key: "NO_SUCH" }), null);
});

test("DELETE ends the sandbox and closes the connections", async () => {
  const status = await new Promise((resolve, reject) => {
    request({ socketPath, method: "DELETE", path: `/api/v3/sandbox/${id}` }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .once("error", reject)
      .end();
  });
  assert.equal(status, 200);
  await untilClean(home);
  assert.equal((await home.info(id)).reason, "killed");
});
