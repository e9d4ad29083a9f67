/** Copies over the published calls alone, against the real agent: a tree comes out as it went in. */
import assert from "node:assert/strict";
import { linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connectRpc } from "../../../src/runtime/sandbox/rpc-client.ts";
import { RpcSandbox } from "../../../src/runtime/sandbox/rpc-sandbox.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { startFakeServer } from "../rpc-client/fake-server.ts";
import { openRealSandbox } from "./real-sandbox.ts";
import { leftovers, picture, Scratch } from "./scratch.ts";

const PUBLISHED = { extensions: false };

/** Without the times of symbolic links, which no published call sets. */
const pictureOf = (directory: string): string[] =>
  picture(directory).map((line) => (line.includes(" -> ") ? line.replace(/ \d+$/, "") : line));

function makeTree(root: string): void {
  mkdirSync(join(root, "sub/empty"), { recursive: true });
  writeFileSync(join(root, "plain"), "plain");
  writeFileSync(join(root, "none"), "");
  writeFileSync(join(root, "run"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(root, "grüße ☃"), "text");
  writeFileSync(join(root, "sub/big"), Buffer.alloc(1_700_000, "0123456789abc"));
  symlinkSync("plain", join(root, "to-plain"));
  symlinkSync("/nowhere/at/all", join(root, "dangling"));
  for (let index = 0; index < 50; index++) writeFileSync(join(root, `sub/${index}`), `content ${index}`);
  utimesSync(join(root, "plain"), 1_000_000_000, 1_000_000_000);
  utimesSync(join(root, "sub"), 1_200_000_000, 1_200_000_000);
}

test("a tree goes up and comes down as it was, with its modes, times and links", async (t) => {
  const { sandbox, home } = await openRealSandbox(t, PUBLISHED);
  using scratch = new Scratch();
  mkdirSync(scratch.join("tree"));
  makeTree(scratch.join("tree"));
  const wanted = pictureOf(scratch.join("tree"));
  const up = await sandbox.upload([scratch.join("tree")], "copy");
  assert.deepEqual([up.skipped, up.files], [[], 57]);
  assert.deepEqual(pictureOf(join(home, "copy")), wanted);
  const down = await sandbox.download(["copy"], scratch.join("back"));
  assert.deepEqual([down.skipped, down.files], [[], 57]);
  assert.deepEqual(pictureOf(scratch.join("back")), wanted);
  assert.deepEqual(leftovers(scratch.path), []);
});

test("a copy goes into a directory that is there, and takes the name of one that is not", async (t) => {
  const { sandbox, home } = await openRealSandbox(t, PUBLISHED);
  using scratch = new Scratch();
  writeFileSync(scratch.join("file"), "text");
  mkdirSync(join(home, "there"));
  await sandbox.upload([scratch.join("file")], "there");
  await sandbox.upload([scratch.join("file")], "named");
  assert.equal(readFileSync(join(home, "there/file"), "utf8"), "text");
  assert.equal(readFileSync(join(home, "named"), "utf8"), "text");
  await sandbox.upload([`${scratch.path}/.`], "there");
  mkdirSync(scratch.join("out"));
  await sandbox.download(["there/."], scratch.join("out"));
  assert.equal(readFileSync(scratch.join("out/file"), "utf8"), "text");
});

test("files that are one in two places stay one on the way up; holes become zeros", async (t) => {
  const { sandbox, home } = await openRealSandbox(t, PUBLISHED);
  using scratch = new Scratch();
  mkdirSync(scratch.join("tree"));
  writeFileSync(scratch.join("tree/one"), "x");
  linkSync(scratch.join("tree/one"), scratch.join("tree/two"));
  writeFileSync(scratch.join("tree/sparse"), "");
  truncateSync(scratch.join("tree/sparse"), 3_000_000);
  await sandbox.upload([scratch.join("tree")], "copy");
  assert.deepEqual(pictureOf(join(home, "copy")), pictureOf(scratch.join("tree")));
  assert.ok(readFileSync(join(home, "copy/sparse")).every((byte) => byte === 0));
});

test("what is copied again takes the place of what is there", async (t) => {
  const { sandbox, home } = await openRealSandbox(t, PUBLISHED);
  using scratch = new Scratch();
  writeFileSync(scratch.join("file"), "a longer text");
  await sandbox.upload([scratch.join("file")], "file");
  writeFileSync(scratch.join("file"), "short");
  await sandbox.upload([scratch.join("file")], "file");
  assert.equal(readFileSync(join(home, "file"), "utf8"), "short");
});

test("another user and patterns are refused, and what is not there is said in words", async (t) => {
  const { sandbox } = await openRealSandbox(t, PUBLISHED);
  using scratch = new Scratch();
  writeFileSync(scratch.join("file"), "text");
  mkdirSync(scratch.join("out"));
  await assert.rejects(sandbox.upload([scratch.join("file")], "x", { user: "root" }), { code: "unsupported" });
  await assert.rejects(sandbox.download(["*.txt"], scratch.join("out")), { code: "unsupported" });
  await assert.rejects(sandbox.download(["nowhere"], scratch.join("out")), { code: "guest_error", message: /nowhere/ });
  await assert.rejects(sandbox.upload([scratch.join("file")], "no/such/directory/file"), { code: "guest_error" });
});

test("a copy that is aborted ends, and leaves nothing of it on the host", async (t) => {
  const { sandbox, home } = await openRealSandbox(t, PUBLISHED);
  using scratch = new Scratch();
  mkdirSync(join(home, "tree"));
  makeTree(join(home, "tree"));
  const abort = new AbortController();
  const copying = sandbox.download(["tree"], scratch.join("out"), {
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  await assert.rejects(copying, { code: "aborted" });
  assert.deepEqual(leftovers(scratch.path), []);
});

test("from sandbox to sandbox, whatever each one's server has", async (t) => {
  const published = await openRealSandbox(t, PUBLISHED);
  const own = await openRealSandbox(t);
  mkdirSync(join(published.home, "tree"));
  makeTree(join(published.home, "tree"));
  const wanted = pictureOf(join(published.home, "tree"));
  await published.sandbox.transfer(["tree"], own.sandbox, "there");
  assert.deepEqual(pictureOf(join(own.home, "there")), wanted);
  await own.sandbox.transfer(["there"], published.sandbox, "back");
  assert.deepEqual(pictureOf(join(published.home, "back")), wanted);
});

test("a server's names lead nowhere else than below the destination, and its sizes bind it", async () => {
  const info = (more: object): object => ({
    ...{ isFile: false, isDirectory: false, isSymlink: false, isBlockDevice: false, isCharDevice: false },
    ...{ isFifo: false, isSocket: false, size: 0, mode: 0o644, dev: 0, ino: 0, nlink: 1, uid: 0, gid: 0, rdev: 0 },
    ...{ blksize: 0, blocks: 0, mtime: "2026-01-02T03:04:05Z", atime: "2026-01-02T03:04:05Z" },
    ...{ birthtime: "2026-01-02T03:04:05Z", ctime: "2026-01-02T03:04:05Z", ...more },
  });
  for (const name of ["../../evil", "..", "a/../../evil", "/etc/evil", "x\0y"]) {
    await using server = await startFakeServer({
      extensions: false,
      methods: {
        lstat: ({ path }) => info(path === "tree" ? { isDirectory: true } : { isFile: true, size: 4 }),
        readDir: () => [{ name, isFile: true, isDirectory: false, isSymlink: false }],
        readFile: () => Buffer.from("evil").toString("base64"),
      },
    });
    using scratch = new Scratch();
    mkdirSync(scratch.join("a/b"), { recursive: true });
    const client = await connectRpc({ socketPath: server.socketPath });
    const sandbox = new RpcSandbox({ client, info: sandboxInfo() });
    await assert.rejects(sandbox.download(["tree"], scratch.join("a/b/out")), { code: "copy_refused" }, name);
    await sandbox[Symbol.asyncDispose]();
    assert.ok(!picture(scratch.path).some((line) => line.includes("evil")), name);
  }
  await using large = await startFakeServer({
    extensions: false,
    methods: {
      lstat: () => info({ isFile: true, size: 600_000 }),
      open: () => ({ fileHandleId: 1 }),
      fileRead: () => ({ data: Buffer.alloc(2_000_000, 1).toString("base64") }),
      fileClose: () => null,
    },
  });
  using scratch = new Scratch();
  const client = await connectRpc({ socketPath: large.socketPath });
  await using sandbox = new RpcSandbox({ client, info: sandboxInfo() });
  await sandbox.download(["file"], scratch.join("file"));
  assert.equal(readFileSync(scratch.join("file")).length, 600_000);
});
