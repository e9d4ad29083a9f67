/** The npm package `@deno/sandbox`, unmodified, against `sbx serve`: the file system, as its documentation has it. */
import assert from "node:assert/strict";
import { lstat, mkdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type ExpandGlobOptions, FsFile, Sandbox, SeekMode, type FileInfo, type WalkOptions } from "@deno/sandbox";
import { assertShape } from "../sdk/shape.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const encoder = new TextEncoder();
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe("the official SDK: files", { timeout: 240_000 }, () => {
  let bench: SdkBench;
  let sandbox: Sandbox;

  before(async () => {
    bench = await SdkBench.open();
    sandbox = await Sandbox.create({ allowNet: [] });
  });

  after(async () => {
    await sandbox.close();
    await bench[Symbol.asyncDispose]();
  });

  test("files are written and read as bytes and as text, whole and as streams", async () => {
    const { fs } = sandbox;
    await fs.writeTextFile("hello.txt", "grüße\n");
    assert.equal(await fs.readTextFile(pathToFileURL("/home/app/hello.txt")), "grüße\n");
    assert.equal(text(await fs.readFile("hello.txt")), "grüße\n");
    const data = new Uint8Array([1, 2, 3]);
    await fs.writeFile("data.bin", data);
    await fs.writeFile("data.bin", data, { append: true });
    assert.deepEqual([...(await fs.readFile("data.bin"))], [1, 2, 3, 1, 2, 3]);
    await fs.writeFile("data.bin", data, { create: false });
    await fs.writeFile("open.bin", data, { mode: 0o777, signal: AbortSignal.timeout(30_000) });
    assert.equal((await fs.stat("open.bin")).mode & 0o777, 0o777);
    await assert.rejects(fs.writeFile("none.bin", data, { create: false }), { code: "ENOENT" });
    await assert.rejects(fs.writeFile("data.bin", data, { createNew: true }), { code: "EEXIST" });
    await fs.writeTextFile("stream.txt", ReadableStream.from(["one ", "two"]), { signal: AbortSignal.timeout(30_000) });
    const options = { signal: AbortSignal.timeout(30_000) };
    assert.equal(await fs.readTextFile("stream.txt", options), "one two");
    await assert.rejects(fs.readFile("/etc"), { code: "EISDIR" });
    await assert.rejects(fs.readFile("/nowhere"), { name: "Error", code: "ENOENT" });
  });

  test("five megabytes of any bytes go both ways", async () => {
    const bytes = new Uint8Array(5_000_000).map((_, index) => (index * 7) % 251);
    await sandbox.fs.writeFile("big.bin", bytes);
    assert.ok(Buffer.from(await sandbox.fs.readFile("big.bin")).equals(Buffer.from(bytes)));
  });

  test("reads and writes that are aborted end as AbortErrors", async () => {
    const controller = new AbortController();
    const endless = ReadableStream.from(
      (async function* () {
        for (;;) {
          yield new Uint8Array(1000);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })(),
    );
    const writing = sandbox.fs.writeFile("endless.bin", endless, { signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    await assert.rejects(writing, { name: "AbortError" });
    const reading = new AbortController();
    const read = sandbox.fs.readFile("/dev/zero", { signal: reading.signal });
    reading.abort();
    await assert.rejects(read, { name: "AbortError" });
  });

  test("directories are made, listed, renamed and removed", async () => {
    const { fs } = sandbox;
    await fs.mkdir("new_dir");
    await fs.mkdir("nested/directories", { recursive: true });
    await fs.mkdir("restricted", { mode: 0o700 });
    assert.equal((await fs.stat("restricted")).mode & 0o777, 0o700);
    await assert.rejects(fs.mkdir("new_dir"), { code: "EEXIST" });
    await fs.writeTextFile("nested/file.txt", "1");
    const entries = [];
    for await (const { name, isFile, isDirectory, isSymlink } of fs.readDir("nested"))
      entries.push([name, isFile, isDirectory, isSymlink]);
    assert.deepEqual(entries.toSorted(), [
      ["directories", false, true, false],
      ["file.txt", true, false, false],
    ]);
    await fs.rename("nested", "renamed");
    await assert.rejects(fs.remove("renamed"), { code: "ENOTEMPTY" });
    await fs.remove("renamed", { recursive: true });
    await fs.remove("new_dir");
    await assert.rejects(fs.stat("renamed"), { code: "ENOENT" });
  });

  test("what stat says has every field, and lstat is of the link", async () => {
    const { fs } = sandbox;
    await fs.writeTextFile("facts.txt", "12345");
    await fs.symlink("facts.txt", "facts-link", { type: "file" });
    const info: FileInfo = await fs.stat("facts-link");
    assertShape(info, {
      ...{ isFile: "boolean", isDirectory: "boolean", isSymlink: "boolean", isBlockDevice: "boolean" },
      ...{ isCharDevice: "boolean", isFifo: "boolean", isSocket: "boolean" },
      ...{ size: "number", dev: "number", ino: "number", mode: "number", nlink: "number", uid: "number" },
      ...{ gid: "number", rdev: "number", blksize: "number", blocks: "number" },
      ...{ mtime: "Date", atime: "Date", birthtime: "Date", ctime: "Date" },
    });
    assert.deepEqual([info.isFile, info.size, info.nlink, info.mode & 0o777], [true, 5, 1, 0o644]);
    assert.ok(Math.abs(info.mtime.getTime() - Date.now()) < 3_600_000);
    assert.equal((await fs.lstat("facts-link")).isSymlink, true);
    assert.equal((await fs.stat("/dev/null")).isCharDevice, true);
    assert.equal(await fs.readLink("facts-link"), "facts.txt");
    assert.equal(await fs.realPath("facts-link"), "/home/app/facts.txt");
  });

  test("modes, owners, times, lengths, links and copies are what they were set to", async () => {
    const { fs } = sandbox;
    await fs.writeTextFile("meta.txt", "0123456789");
    await fs.chmod("meta.txt", 0o640);
    await fs.copyFile("meta.txt", "copy.txt");
    assert.deepEqual([(await fs.stat("copy.txt")).mode & 0o777, (await fs.stat("copy.txt")).size], [0o640, 10]);
    const { uid } = await fs.stat("meta.txt");
    await fs.chown("meta.txt", uid, null);
    await fs.truncate("meta.txt", 4);
    assert.equal(await fs.readTextFile("meta.txt"), "0123");
    await fs.truncate("meta.txt");
    assert.equal((await fs.stat("meta.txt")).size, 0);
    const date = new Date("2020-02-03T04:05:06.000Z");
    await fs.utime("meta.txt", date, date);
    assert.deepEqual((await fs.stat("meta.txt")).mtime, date);
    await fs.link("meta.txt", "hard.txt");
    assert.equal((await fs.stat("hard.txt")).nlink, 2);
    const before = await fs.umask(0o077);
    await fs.writeTextFile("masked.txt", "");
    assert.equal((await fs.stat("masked.txt")).mode & 0o777, 0o600);
    assert.equal(await fs.umask(before), 0o077);
    assert.equal(await fs.umask(), before);
  });

  test("temporary files and directories have names of their own", async () => {
    const { fs } = sandbox;
    assert.match(await fs.makeTempDir(), /^\/tmp\/[^/]+$/);
    assert.match(await fs.makeTempFile({ prefix: "my_temp", suffix: ".txt" }), /^\/tmp\/my_temp[^/]+\.txt$/);
    const directory = await fs.makeTempDir({ dir: "/home/app", prefix: "p-", suffix: "-s" });
    assert.match(directory, /^\/home\/app\/p-[^/]+-s$/);
    assert.equal((await fs.stat(directory)).isDirectory, true);
    assert.match(await fs.makeTempFile({ dir: directory }), new RegExp(`^${directory}/[^/]+$`));
  });

  test("an open file is read, written, sought, locked, flushed and measured", async () => {
    const { fs } = sandbox;
    await using file = await fs.open("handle.txt", { read: true, write: true, create: true, truncate: true });
    assert.ok(file instanceof FsFile);
    assert.equal(await file.write(encoder.encode("hello world")), 11);
    assert.equal(await file.seek(-5, SeekMode.End), 6);
    const buffer = new Uint8Array(20);
    assert.equal(await file.read(buffer), 5);
    assert.equal(text(buffer.subarray(0, 5)), "world");
    assert.equal(await file.read(buffer), null);
    assert.equal(await file.seek(2n, SeekMode.Start), 2);
    assert.equal(await file.seek(1, SeekMode.Current), 3);
    await file.lock(true);
    await file.unlock();
    await file.truncate(5);
    await file.sync();
    await file.syncData();
    const date = new Date("2021-01-01T00:00:00.000Z");
    await file.utime(date, date);
    const { size, mtime } = await file.stat();
    assert.deepEqual([size, mtime], [5, date]);
  });

  test("open files are streams, too, and are made with the options that say so", async () => {
    const { fs } = sandbox;
    const made = await fs.create("stream-handle.txt");
    await ReadableStream.from([encoder.encode("by "), encoder.encode("stream")]).pipeTo(made.writable);
    const opened = await fs.open("stream-handle.txt");
    let read = "";
    for await (const chunk of opened.readable) read += text(chunk);
    assert.equal(read, "by stream");
    await assert.rejects(fs.open("stream-handle.txt", { write: true, createNew: true }), { code: "EEXIST" });
    const appended = await fs.open("stream-handle.txt", { append: true, mode: 0o600 });
    await appended.write(encoder.encode("!"));
    await appended.close();
    assert.equal(await fs.readTextFile("stream-handle.txt"), "by stream!");
  });

  test("a walk has every entry once, as its options want them", async () => {
    const { fs } = sandbox;
    await fs.mkdir("tree/node_modules", { recursive: true });
    for (const name of ["a.ts", "b.js", "node_modules/c.ts"]) await fs.writeTextFile(`tree/${name}`, "");
    await fs.symlink("a.ts", "tree/link.ts");
    await fs.symlink("node_modules", "tree/modules");
    const walk = async (options?: WalkOptions): Promise<string[]> => {
      const found: string[] = [];
      for await (const entry of fs.walk("tree", options)) {
        assertShape(entry, {
          ...{ path: "string", name: "string", isFile: "boolean", isDirectory: "boolean", isSymlink: "boolean" },
        });
        found.push(entry.path.slice("tree".length));
      }
      return found.toSorted();
    };
    const all = ["", "/a.ts", "/b.js", "/link.ts", "/modules", "/node_modules", "/node_modules/c.ts"];
    assert.deepEqual(await walk(), all);
    assert.deepEqual(await walk({ maxDepth: 1, includeDirs: false, includeSymlinks: false }), ["/a.ts", "/b.js"]);
    assert.deepEqual(await walk({ includeFiles: false, includeSymlinks: false }), ["", "/node_modules"]);
    assert.deepEqual(await walk({ exts: [".ts"], skip: [/node_modules/], includeSymlinks: false }), ["/a.ts"]);
    assert.deepEqual(await walk({ match: [/\.JS$/i] }), ["/b.js"]);
    assert.deepEqual(await walk({ followSymlinks: true, canonicalize: false, match: [/c\.ts$/] }), [
      ...["/modules/c.ts", "/node_modules/c.ts"],
    ]);
  });

  test("globs are expanded from a directory, with and without their extensions", async () => {
    const { fs } = sandbox;
    await fs.mkdir("globs/deep/er", { recursive: true });
    for (const name of ["one.log", "TWO.LOG", "deep/three.log", "deep/er/four.log"])
      await fs.writeTextFile(`globs/${name}`, "");
    const expand = async (glob: string, options: ExpandGlobOptions = {}): Promise<string[]> => {
      const found: string[] = [];
      for await (const { path } of fs.expandGlob(glob, { root: "/home/app/globs", ...options })) found.push(path);
      return found.map((path) => path.replace("/home/app/globs/", ""));
    };
    assert.deepEqual(await expand("*.log"), ["one.log"]);
    assert.deepEqual(await expand("*.log", { caseInsensitive: true }), ["TWO.LOG", "one.log"]);
    assert.deepEqual(await expand("**/*.log", { exclude: ["deep/er"] }), ["deep/three.log", "one.log"]);
    assert.deepEqual(await expand("**/*.log", { globstar: false }), ["deep/three.log", "one.log"]);
    assert.deepEqual(await expand("+(one|two).log", { extended: false }), []);
    assert.deepEqual(await expand("d*", { includeDirs: false }), []);
    const options: ExpandGlobOptions = {
      extended: true,
      globstar: true,
      followSymlinks: false,
      canonicalize: true,
      caseInsensitive: false,
    };
    const found: string[] = [];
    for await (const { name } of fs.expandGlob("globs/@(one|none).log", { ...options, includeDirs: true }))
      found.push(name);
    assert.deepEqual(found, ["one.log"]);
  });

  test("breaking off a walk harms nothing that comes after it", async (t) => {
    for (const method of ["error", "log", "debug"] as const) t.mock.method(console, method, () => undefined);
    for (let round = 0; round < 3; round++) {
      for await (const { path } of sandbox.fs.walk("/usr/lib")) {
        assert.equal(path, "/usr/lib");
        break;
      }
    }
    assert.equal(await sandbox.sh`pwd`.text(), "/home/app\n");
  });

  test("files and trees of this machine are uploaded, and downloaded the same", async () => {
    const local = bench.home.scratch("my-project");
    await mkdir(`${local}/sub`, { recursive: true });
    await writeFile(`${local}/sub/file.txt`, "content");
    await symlink("sub/file.txt", `${local}/link`);
    const { fs } = sandbox;
    await fs.upload(`${local}/sub/file.txt`, "./readme-copy.md");
    assert.equal(await fs.readTextFile("readme-copy.md"), "content");
    await fs.upload(pathToFileURL(local), ".");
    assert.equal(await fs.readTextFile("./my-project/sub/file.txt"), "content");
    assert.equal(await fs.readLink("my-project/link"), "sub/file.txt");
    const down = bench.home.scratch("down");
    await mkdir(down);
    await fs.download("my-project", down);
    assert.equal(await readFile(`${down}/my-project/link`, "utf8"), "content");
    assert.ok((await lstat(`${down}/my-project/link`)).isSymbolicLink());
    assert.equal(await readlink(`${down}/my-project/link`), "sub/file.txt");
    await fs.download("readme-copy.md", `${down}/copy.md`);
    assert.equal(await readFile(`${down}/copy.md`, "utf8"), "content");
  });

  test("what the official CLI does with the SDK: files into /app, a line with input, files by glob back", async () => {
    const local = bench.home.scratch("cli");
    await mkdir(`${local}/app`, { recursive: true });
    await writeFile(`${local}/app/main.sh`, "cat; exit 3");
    await sandbox.fs.upload(`${local}/app`, "/app");
    const child = await sandbox.spawn("bash", {
      ...{
        args: ["-c", "tr a-z A-Z | sh main.sh"],
        cwd: "/app/app",
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      },
    });
    const writer = child.stdin?.getWriter();
    await writer?.write(encoder.encode("typed\n"));
    await writer?.close();
    const { status, stdoutText } = await child.output();
    assert.deepEqual([status.code, stdoutText], [3, "TYPED\n"]);
    for await (const { path } of sandbox.fs.expandGlob("/app/app/*.sh"))
      await sandbox.fs.download(path, `${local}/back.sh`);
    assert.equal(await readFile(`${local}/back.sh`, "utf8"), "cat; exit 3");
  });
});
