/** The file system calls against the guest's own agent (deno-sandbox-protocol, sections 2.5 and 3.9). */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { openBench, type TestClient } from "./rpc-harness.ts";
import { openRealBench } from "./real-agent.ts";

const base64 = (bytes: Buffer | string): string => Buffer.from(bytes).toString("base64");

interface Info {
  isFile: boolean;
  isDirectory: boolean;
  isSymlink: boolean;
  size: number;
  mode: number;
  mtime: string;
  birthtime: string;
}

test("files are written and read back, relative paths from the home", async (t) => {
  const { client, home } = await openRealBench(t);
  const bytes = Buffer.from([0, 255, 10, 13, 128]);
  assert.equal(await client.call("writeFile", { path: "a.bin", content: base64(bytes) }), null);
  assert.equal(await client.call("readFile", { path: `${home}/a.bin` }), base64(bytes));
  await client.call("writeTextFile", { path: "a.txt", content: "\uFEFFgrüße\n" });
  assert.equal(await client.call("readTextFile", { path: "./a.txt" }), "\uFEFFgrüße\n");
  assert.equal(await client.call("readFile", { path: "a.txt" }), base64("\uFEFFgrüße\n"));
  await client.call("writeFile", { path: "empty", content: "" });
  assert.equal(await client.call("readFile", { path: "empty" }), "");
});

test("writing creates and truncates unless told otherwise", async (t) => {
  const { client } = await openRealBench(t);
  const write = (content: string, options?: unknown): Promise<unknown> =>
    client.call("writeTextFile", { path: "f", content, options });
  const writeError = async (options: unknown): Promise<string> =>
    (await client.callError("writeTextFile", { path: "f", content: "x", options })).constructorName;
  assert.equal(await writeError({ create: false }), "NotFound");
  await write("long content", { mode: 0o640 });
  await write("new");
  await write("+more", { append: true });
  assert.equal(await client.call("readTextFile", { path: "f" }), "new+more");
  assert.equal(await writeError({ createNew: true }), "AlreadyExists");
  await write("!", { create: false });
  assert.equal(await client.call("readTextFile", { path: "f" }), "!");
  assert.equal((await client.call<Info>("stat", { path: "f" })).mode & 0o777, 0o640);
});

test("content may come as a stream, also one that began before the call", async (t) => {
  const { client } = await openRealBench(t);
  const bytes = Buffer.alloc(1_000_003, "stream");
  client.notify("$sandbox.stream.start", { streamId: 0 });
  client.chunk(0, bytes.subarray(0, 400_000));
  const id = client.request("writeFile", { path: "big", contentStreamId: 0 });
  client.chunk(0, bytes.subarray(400_000));
  client.notify("$sandbox.stream.end", { streamId: 0 });
  assert.deepEqual((await client.reply(id)).result, { ok: null });
  assert.equal(await client.call("readFile", { path: "big" }), base64(bytes));
});

test("a stream that the client fails fails the call with the client's own words", async (t) => {
  const { client } = await openRealBench(t);
  const id = client.request("writeFile", { path: "half", contentStreamId: 0 });
  client.notify("$sandbox.stream.error", { streamId: 0, error: { constructorName: "RangeError", message: "no more" } });
  const { error } = (await client.reply(id)).result ?? {};
  assert.deepEqual([error?.constructorName, error?.message], ["RangeError", "no more"]);
});

test("a write that cannot begin cancels the client's stream", async (t) => {
  const { client } = await openRealBench(t);
  client.notify("$sandbox.stream.start", { streamId: 0 });
  const error = await client.callError("writeFile", { path: "no/such/dir", contentStreamId: 0 });
  assert.equal(error.constructorName, "NotFound");
  assert.equal((await client.message((m) => m.method === "$sandbox.stream.cancel")).params?.streamId, 0);
});

test("errors carry class, errno name, what was tried and on what", async (t) => {
  const { client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, "file"), "");
  await fs.mkdir(path.join(home, "dir/sub"), { recursive: true });
  await fs.symlink("loop", path.join(home, "loop"));
  for (const [method, params, constructorName, code] of [
    ["readFile", { path: "none" }, "NotFound", "ENOENT"],
    ["readTextFile", { path: "dir" }, "IsADirectory", "EISDIR"],
    ["readDir", { path: "file" }, "NotADirectory", "ENOTDIR"],
    ["mkdir", { path: "dir" }, "AlreadyExists", "EEXIST"],
    ["remove", { path: "dir" }, "Error", "ENOTEMPTY"],
    ["stat", { path: "loop" }, "FilesystemLoop", "ELOOP"],
    ["rename", { oldPath: "none", newPath: "other" }, "NotFound", "ENOENT"],
    ["truncate", { name: "none" }, "NotFound", "ENOENT"],
    ["readLink", { path: "file" }, "TypeError", "EINVAL"],
    ["makeTempFile", { options: { dir: "none" } }, "NotFound", "ENOENT"],
  ] as const) {
    const error = await client.callError(method, params);
    assert.deepEqual([method, error.constructorName, error.code], [method, constructorName, code]);
    assert.equal(error.stack, undefined);
  }
  const { message } = await client.callError("readFile", { path: "none" });
  assert.equal(message, "No such file or directory (os error 2): readfile 'none'");
});

test("a NUL in a path is a TypeError and goes no further", async (t) => {
  const { client } = await openRealBench(t);
  assert.equal((await client.callError("readFile", { path: "a\0b" })).constructorName, "TypeError");
});

test("directories: mkdir, readDir, remove, rename", async (t) => {
  const { client } = await openRealBench(t);
  await client.call("mkdir", { path: "d", options: { mode: 0o700 } });
  await client.call("mkdir", { path: "d/e/f", options: { recursive: true } });
  await client.call("mkdir", { path: "d/e/f", options: { recursive: true } });
  await client.call("writeTextFile", { path: "d/file", content: "" });
  await client.call("symlink", { target: "file", path: "d/link" });
  const entries = await client.call<{ name: string }[]>("readDir", { path: "d" });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  assert.deepEqual(entries, [
    { name: "e", isFile: false, isDirectory: true, isSymlink: false },
    { name: "file", isFile: true, isDirectory: false, isSymlink: false },
    { name: "link", isFile: false, isDirectory: false, isSymlink: true },
  ]);
  await client.call("rename", { oldPath: "d/file", newPath: "d/other" });
  await client.call("remove", { path: "d/other" });
  await client.call("remove", { path: "d", options: { recursive: true } });
  assert.equal((await client.callError("remove", { path: "d" })).constructorName, "NotFound");
});

test("a directory that fills more than a frame is listed all the same", async (t) => {
  const { client, home } = await openRealBench(t);
  const dir = path.join(home, "many");
  await fs.mkdir(dir);
  const name = (i: number): string => `${"n".repeat(240)}${i}`;
  await Promise.all(Array.from({ length: 4500 }, (_, i) => fs.symlink("x", path.join(dir, name(i)))));
  await fs.symlink("many", path.join(home, "link"));
  for (const listed of ["many", "link"]) {
    const entries = await client.call<{ name: string }[]>("readDir", { path: listed });
    assert.equal(entries.length, 4500);
    assert.equal(new Set(entries.map((entry) => entry.name)).size, 4500);
  }
});

test("metadata has all its keys and times are ISO texts", async (t) => {
  const { client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, "f"), "12345", { mode: 0o644 });
  await fs.symlink("f", path.join(home, "l"));
  const info = await client.call<Info>("stat", { path: "l" });
  assert.deepEqual([info.isFile, info.isSymlink, info.size, info.mode & 0o777], [true, false, 5, 0o644]);
  assert.deepEqual(
    Object.keys(info).sort(),
    "atime birthtime blksize blocks ctime dev gid ino isBlockDevice isCharDevice isDirectory isFifo isFile isSocket isSymlink mode mtime nlink rdev size uid".split(
      " ",
    ),
  );
  for (const value of Object.values(info)) assert.notEqual(value, null);
  assert.equal(new Date(info.mtime).toISOString(), info.mtime);
  assert.equal((await client.call<Info>("lstat", { path: "l" })).isSymlink, true);
});

test("chmod, utime, chown, link, readLink, realPath, copyFile, truncate", async (t) => {
  const { client, home } = await openRealBench(t);
  await client.call("writeTextFile", { path: "f", content: "content" });
  await client.call("chmod", { path: "f", mode: 0o100600 });
  await client.call("utime", { path: "f", atime: "2001-02-03T04:05:06.789Z", mtime: "1999-12-31T23:59:59.500Z" });
  await client.call("chown", { path: "f", uid: null, gid: null });
  const info = await client.call<Info>("stat", { path: "f" });
  assert.deepEqual([info.mode & 0o7777, info.mtime], [0o600, "1999-12-31T23:59:59.500Z"]);
  await client.call("link", { target: "f", path: "hard" });
  await client.call("symlink", { target: "../odd target", path: "soft" });
  assert.equal(await client.call("readLink", { path: "soft" }), "../odd target");
  await client.call("symlink", { target: "hard", path: "good", options: { type: "file" } });
  assert.equal(await client.call("realPath", { path: "good" }), `${home}/hard`);
  await client.call("copyFile", { fromPath: "good", toPath: "copy" });
  await client.call("truncate", { name: "copy", length: 3 });
  assert.equal(await client.call("readTextFile", { path: "copy" }), "con");
  await client.call("truncate", { name: "copy" });
  assert.equal((await client.call<Info>("stat", { path: "copy" })).size, 0);
  assert.equal(await client.call("readTextFile", { path: "f" }), "content");
});

test("temporary names lie in /tmp or where told, with prefix and suffix", async (t) => {
  const { client, home } = await openRealBench(t);
  const dir = await client.call<string>("makeTempDir", { options: { dir: ".", prefix: "pre-", suffix: ".end" } });
  assert.match(dir, new RegExp(`^${home}/(?:\\./)?pre-[0-9a-f]+\\.end$`));
  assert.ok((await client.call<Info>("stat", { path: dir })).isDirectory);
  const file = await client.call<string>("makeTempFile", {});
  assert.match(file, /^\/tmp\/[0-9a-f]+$/);
  await client.call("remove", { path: file });
  const error = await client.callError("makeTempFile", { options: { prefix: "../x" } });
  assert.equal(error.code, "EINVAL");
});

test("umask answers the previous mask and applies to what is made next", async (t) => {
  const { client } = await openRealBench(t);
  const before = await client.call<number>("umask", {});
  assert.equal(await client.call("umask", { mask: 0o077 }), before);
  assert.equal(await client.call("umask", {}), 0o077);
  await client.call("writeTextFile", { path: "f", content: "" });
  assert.equal((await client.call<Info>("stat", { path: "f" })).mode & 0o777, 0o600);
});

test("a file beyond what a client takes in one message is refused in words", async (t) => {
  const { client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, "large"), "");
  await fs.truncate(path.join(home, "large"), 80 * 1024 * 1024);
  const error = await client.callError("readFile", { path: "large" });
  assert.equal(error.code, "EFBIG");
  assert.match(error.message, /'large' is too large to be read at once/);
  await client.settle();
});

async function open(client: TestClient, params: Record<string, unknown>): Promise<number> {
  return (await client.call<{ fileHandleId: number }>("open", params)).fileHandleId;
}

test("handles: read, write, seek, truncate, stat, sync, times, close", async (t) => {
  const { client } = await openRealBench(t);
  const { fileHandleId } = await client.call<{ fileHandleId: number }>("create", { path: "f" });
  assert.deepEqual(await client.call("fileWrite", { fileHandleId, data: base64("hello world") }), { bytesWritten: 11 });
  assert.deepEqual(await client.call("fileSeek", { fileHandleId, offset: "-5", whence: 2 }), { position: 6 });
  assert.deepEqual(await client.call("fileRead", { fileHandleId, length: 3 }), { data: base64("wor") });
  assert.deepEqual(await client.call("fileRead", { fileHandleId, length: 0 }), { data: "" });
  assert.deepEqual(await client.call("fileRead", { fileHandleId, length: 65536 }), { data: base64("ld") });
  assert.deepEqual(await client.call("fileRead", { fileHandleId, length: 65536 }), { data: null });
  assert.deepEqual(await client.call("fileSeek", { fileHandleId, offset: 2, whence: 0 }), { position: 2 });
  assert.deepEqual(await client.call("fileSeek", { fileHandleId, offset: 1, whence: 1 }), { position: 3 });
  await client.call("fileTruncate", { fileHandleId, len: 4 });
  await client.call("fileUtime", { fileHandleId, atime: "2000-01-01T00:00:00Z", mtime: "2000-01-01T00:00:00Z" });
  const info = await client.call<Info>("fileStat", { fileHandleId });
  assert.deepEqual([info.size, info.mtime], [4, "2000-01-01T00:00:00.000Z"]);
  await client.call("fileSync", { fileHandleId });
  await client.call("fileSyncData", { fileHandleId });
  await client.call("fileClose", { fileHandleId });
  const error = await client.callError("fileRead", { fileHandleId, length: 1 });
  assert.deepEqual([error.constructorName, error.code], ["BadResource", "EBADF"]);
});

test("operations on a handle run in the order in which they were sent", async (t) => {
  const { client } = await openRealBench(t);
  const { fileHandleId } = await client.call<{ fileHandleId: number }>("create", { path: "f" });
  for (let i = 0; i < 200; i++) client.request("fileWrite", { fileHandleId, data: base64(`${i},`) });
  client.request("fileSeek", { fileHandleId, offset: 0, whence: 0 });
  const id = client.request("fileRead", { fileHandleId, length: 65536 });
  const { data } = (await client.reply(id)).result?.ok as { data: string };
  assert.equal(Buffer.from(data, "base64").toString(), Array.from({ length: 200 }, (_, i) => `${i},`).join(""));
});

test("an operation on a handle waits for the one before it, not for those on others", async (t) => {
  let finish: () => void = () => undefined;
  const bench = await openBench(t, {
    "fs.open": ({ path: opened }) => ({ handle: opened === "/a" ? 1 : 2 }),
    "file.write": async ({ handle }) => {
      if (handle === 1) await new Promise<void>((resolve) => (finish = resolve));
      return { written: 1 };
    },
    "file.seek": () => ({ position: 0 }),
  });
  const { client } = await bench.connect();
  const [a, b] = [
    await open(client, { path: "/a", options: { write: true } }),
    await open(client, { path: "/b", options: { write: true } }),
  ];
  client.request("fileWrite", { fileHandleId: a, data: base64("x") });
  const seek = client.request("fileSeek", { fileHandleId: a, offset: 0, whence: 0 });
  await client.call("fileWrite", { fileHandleId: b, data: base64("x") });
  assert.ok(!bench.agent.calls.some((call) => call.method === "file.seek"));
  finish();
  assert.deepEqual((await client.reply(seek)).result, { ok: { position: 0 } });
});

test("a write of megabytes through a handle is whole", async (t) => {
  const { client, home } = await openRealBench(t);
  const { fileHandleId } = await client.call<{ fileHandleId: number }>("create", { path: "f" });
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 7, "abc");
  assert.deepEqual(await client.call("fileWrite", { fileHandleId, data: base64(bytes) }), {
    bytesWritten: bytes.length,
  });
  assert.ok((await fs.readFile(path.join(home, "f"))).equals(bytes));
});

test("read is on unless it is off, and options that contradict are EINVAL", async (t) => {
  const { client, home } = await openRealBench(t);
  await fs.writeFile(path.join(home, "f"), "data");
  const writing = await open(client, { path: "f", options: { write: true } });
  assert.deepEqual(await client.call("fileRead", { fileHandleId: writing, length: 10 }), { data: base64("data") });
  const plain = await open(client, { path: "f" });
  assert.equal((await client.callError("fileWrite", { fileHandleId: plain, data: base64("x") })).code, "EBADF");
  for (const options of [{ read: false }, { create: true }, { truncate: true }, { append: true, truncate: true }]) {
    assert.equal((await client.callError("open", { path: "f", options })).code, "EINVAL");
  }
  const fresh = { path: "new", options: { createNew: true, write: true, mode: 0o600 } };
  await open(client, fresh);
  assert.equal((await client.callError("open", fresh)).constructorName, "AlreadyExists");
});

test("thousands of handles may be open, and all are closed with the connection", async (t) => {
  const { connect, home, link } = await openRealBench(t);
  await fs.writeFile(path.join(home, "f"), "");
  const { client, connection } = await connect();
  const ids = Array.from({ length: 3000 }, () => client.request("open", { path: "f", options: { read: true } }));
  for (const id of ids) assert.ok((await client.reply(id)).result?.ok);
  client.socket.terminate();
  await connection.closed;
  // Handles of the agent count upwards: the first is closed once the answer says EBADF.
  for (;;) {
    const answer = await link.call("file.stat", { handle: 1 }).catch((error: unknown) => error);
    if (answer instanceof Error) break;
  }
});

test("handles belong to their connection", async (t) => {
  const { client, connect } = await openRealBench(t);
  const { client: other } = await connect();
  const { fileHandleId } = await client.call<{ fileHandleId: number }>("create", { path: "f" });
  assert.equal((await other.callError("fileStat", { fileHandleId })).code, "EBADF");
});

test("a lock waits without holding up its file, and goes with the connection that has it", async (t) => {
  const { client, connect } = await openRealBench(t);
  const { client: other } = await connect();
  const mine = await open(client, { path: "f", options: { write: true, create: true } });
  const theirs = await open(other, { path: "f", options: { write: true } });
  await other.call("fileLock", { fileHandleId: theirs, exclusive: true });
  const waiting = client.request("fileLock", { fileHandleId: mine });
  await client.call("fileStat", { fileHandleId: mine });
  assert.ok(!client.messages.some((m) => m.id === waiting));
  other.socket.terminate();
  assert.deepEqual((await client.reply(waiting)).result, { ok: null });
  await client.call("fileUnlock", { fileHandleId: mine });
});

test("requests that are much together are taken in turns, and all are answered", async (t) => {
  const { client } = await openRealBench(t);
  const content = "x".repeat(60_000_000);
  const ids = Array.from({ length: 7 }, (_, i) => client.request("writeTextFile", { path: `f${i}`, content }));
  for (const id of ids) assert.deepEqual((await client.reply(id)).result, { ok: null });
});
