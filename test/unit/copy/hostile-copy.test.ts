/** What a hostile sandbox may send: nothing of it lands outside of the destination or changes what was there. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { resolveDestination } from "../../../src/runtime/copy/destination.ts";
import { unpack } from "../../../src/runtime/copy/unpack.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { CopyReport } from "../../../src/runtime/runtime.ts";
import * as raw from "./raw-records.ts";
import { leftovers, picture, Scratch } from "./scratch.ts";

/** A destination beside things that must stay as they are. */
function arrange(scratch: Scratch): { destination: string; outside: string } {
  const outside = scratch.join("outside");
  mkdirSync(scratch.join("outside/deep"), { recursive: true });
  writeFileSync(scratch.join("outside/secret"), "secret");
  writeFileSync(scratch.join("outside/deep/file"), "deep");
  const destination = scratch.join("destination");
  mkdirSync(destination);
  return { destination, outside };
}

async function receive(records: Buffer[], destination: string, several = false): Promise<CopyReport> {
  return unpack(raw.streamOf([...records, raw.end()]), resolveDestination(destination, several));
}

async function refused(records: Buffer[], destination: string): Promise<SbxError> {
  try {
    await receive(records, destination);
  } catch (error) {
    assert.ok(error instanceof SbxError, String(error));
    return error;
  }
  throw new Error("it was accepted");
}

test("a path that is absolute, empty, too long, or has an empty, '.' or '..' component or a NUL is refused", async () => {
  using scratch = new Scratch();
  const { destination, outside } = arrange(scratch);
  const before = picture(outside);
  const paths = [
    "",
    "/",
    "/etc/x",
    "..",
    "../outside/secret",
    "a/../../outside/secret",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    ".",
    "a\0b",
    "x".repeat(4097),
    `${"d/".repeat(2048)}f`,
  ];
  for (const path of paths) {
    for (const record of [raw.file(path, "x"), raw.directory(path), raw.symlink(path, "t"), raw.hardLink("ok", path)]) {
      const error = await refused([record], destination);
      assert.equal(error.code, "copy_refused", JSON.stringify(path.slice(0, 30)));
    }
  }
  assert.deepEqual(picture(outside), before);
  assert.deepEqual(readdirSync(destination), []);
});

test("a file sent below a link of the same stream is refused and the link's target untouched", async () => {
  using scratch = new Scratch();
  const { destination, outside } = arrange(scratch);
  const before = picture(outside);
  for (const record of [
    raw.file("link/secret", "overwritten"),
    raw.directory("link/new"),
    raw.symlink("link/evil", "/"),
    raw.file("link/deep/file", "overwritten"),
  ]) {
    const error = await refused([raw.symlink("link", "../outside"), record], destination);
    assert.equal(error.code, "copy_refused");
    assert.match(error.message, /'link' is not a directory at the destination, and links are not followed/);
  }
  assert.deepEqual(picture(outside), before);
});

test("a link that was at the destination before is not followed either", async () => {
  using scratch = new Scratch();
  const { destination, outside } = arrange(scratch);
  symlinkSync(outside, scratch.join("destination/old"));
  mkdirSync(scratch.join("destination/sub"));
  symlinkSync(outside, scratch.join("destination/sub/old"));
  const before = picture(outside);
  for (const records of [
    [raw.file("old/secret", "overwritten")],
    [raw.directory("old"), raw.file("old/secret", "overwritten")],
    [raw.directory("sub"), raw.file("sub/old/secret", "overwritten")],
    [raw.directory("sub"), raw.directory("sub/old", { mode: 0o777 })],
  ]) {
    const error = await refused(records, destination);
    assert.equal(error.code, "copy_refused");
    assert.match(error.hint ?? "", /move it away/);
  }
  assert.deepEqual(picture(outside), before);
});

test("a directory that is replaced by a link while it is being filled keeps receiving its files", async (t) => {
  using scratch = new Scratch();
  const { destination, outside } = arrange(scratch);
  if (process.platform !== "linux") {
    t.skip("only Linux can hold on to a directory");
    return;
  }
  const before = picture(outside);
  async function* stream(): AsyncGenerator<Buffer> {
    yield raw.directory("d");
    // Somebody else on the host, between two chunks.
    const { renameSync } = await import("node:fs");
    renameSync(scratch.join("destination/d"), scratch.join("destination/moved"));
    symlinkSync(outside, scratch.join("destination/d"));
    yield Buffer.concat([raw.file("d/secret", "overwritten"), raw.end()]);
  }
  await unpack(stream(), resolveDestination(destination, false));
  assert.deepEqual(picture(outside), before);
  assert.equal(readFileSync(scratch.join("destination/moved/secret"), "utf8"), "overwritten");
});

test("an existing file is replaced and never written through: not by a link to it, nor by its other names", async () => {
  using scratch = new Scratch();
  const { destination, outside } = arrange(scratch);
  symlinkSync("../outside/secret", scratch.join("destination/by-link"));
  linkSync(scratch.join("outside/secret"), scratch.join("destination/by-name"));
  await receive([raw.file("by-link", "new"), raw.file("by-name", "new", { mode: 0o777 })], destination);
  assert.equal(readFileSync(scratch.join("outside/secret"), "utf8"), "secret");
  assert.equal(statSync(scratch.join("outside/secret")).mode & 0o777, 0o644);
  assert.equal(lstatSync(scratch.join("destination/by-link")).isFile(), true);
  assert.equal(readFileSync(scratch.join("destination/by-name"), "utf8"), "new");
  assert.equal(existsSync(outside), true);
});

test("a hard link may name a file of the same stream and nothing else", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  writeFileSync(scratch.join("destination/mine"), "the user's");
  const targets = ["mine", "outside/secret", "later", "d", "link"];
  for (const target of targets) {
    const records = [
      raw.directory("d"),
      raw.symlink("link", "../outside/secret"),
      raw.hardLink("evil", target),
      raw.file("later", "x"),
    ];
    const error = await refused(records, destination);
    assert.equal(error.code, "copy_refused", target);
    assert.match(error.message, /is a hard link to/);
    assert.equal(existsSync(scratch.join("destination/evil")), false);
  }
  await receive([raw.file("a", "x"), raw.hardLink("b", "a")], destination);
  assert.equal(statSync(scratch.join("destination/a")).ino, statSync(scratch.join("destination/b")).ino);
});

test("a hard link to a file that became a symbolic link in the meantime is refused", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  const records = [raw.file("a", "x"), raw.symlink("a", "../outside/secret"), raw.hardLink("b", "a")];
  const error = await refused(records, destination);
  assert.match(error.message, /which is no file any longer/);
  assert.equal(lstatSync(scratch.join("destination/b"), { throwIfNoEntry: false }), undefined);
});

test("set-user-id and set-group-id bits do not reach the host, the other bits do", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  await receive([raw.file("f", "x", { mode: 0o6755 }), raw.directory("d", { mode: 0o7750 })], destination);
  assert.equal(statSync(scratch.join("destination/f")).mode & 0o7777, 0o755);
  assert.equal(statSync(scratch.join("destination/d")).mode & 0o7777, 0o1750);
});

test("a directory that was there keeps its mode: a sandbox cannot open up the user's own", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  mkdirSync(scratch.join("destination/mine"));
  chmodSync(scratch.join("destination/mine"), 0o700);
  await receive([raw.directory("mine", { mode: 0o777 }), raw.file("mine/f", "x")], destination);
  assert.equal(statSync(scratch.join("destination/mine")).mode & 0o777, 0o700);
});

test("a file or link in the place of a directory is refused, and a directory in the place of a file", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  mkdirSync(scratch.join("destination/dir"));
  writeFileSync(scratch.join("destination/dir/kept"), "kept");
  writeFileSync(scratch.join("destination/file"), "kept");
  assert.match((await refused([raw.file("dir", "x")], destination)).message, /'dir' is a directory at the destination/);
  assert.match((await refused([raw.symlink("dir", "/")], destination)).message, /'dir' is a directory/);
  assert.match((await refused([raw.directory("file")], destination)).message, /'file' is not a directory/);
  assert.equal(readFileSync(scratch.join("destination/dir/kept"), "utf8"), "kept");
  assert.equal(readFileSync(scratch.join("destination/file"), "utf8"), "kept");
  assert.deepEqual(leftovers(destination), []);
});

test("a directory that was not announced is not made", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  const error = await refused([raw.file("a/b", "x")], destination);
  assert.match(error.message, /fills a directory that it did not announce: 'a'/);
  assert.deepEqual(readdirSync(destination), []);
});

test("the text of a symbolic link is kept as it is, wherever it leads", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  await receive([raw.symlink("l", "../../../etc/passwd"), raw.symlink("m", "/absolute")], destination);
  assert.equal(readlinkSync(scratch.join("destination/l")), "../../../etc/passwd");
  assert.equal(readlinkSync(scratch.join("destination/m")), "/absolute");
});

test("times beyond what file systems hold are brought into range instead of failing", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  const extremes = [2 ** 53, -(2 ** 53), Number.MAX_SAFE_INTEGER * 512, -Number.MAX_SAFE_INTEGER * 512];
  const report = await receive(
    extremes.map((mtimeMs, index) => raw.file(`f${index}`, "x", { mtimeMs })),
    destination,
  );
  assert.equal(report.files, extremes.length);
});

test("names with control characters are shown escaped in messages", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  const error = await refused([raw.file("a\u001b[31m/\u0007", "x")], destination);
  assert.doesNotMatch(error.message, /[\u0000-\u001f]/);
  assert.match(error.message, /\\u\{1b\}\[31m/);
});

test("a name that the host's file system cannot hold is skipped with everything below it, and the rest arrives", async () => {
  using scratch = new Scratch();
  const { destination } = arrange(scratch);
  const long = "n".repeat(256);
  const report = await receive(
    [
      raw.file(long, "x"),
      raw.directory(`${long}d`),
      raw.file(`${long}d/inside`, "x"),
      raw.directory(`${long}d/deeper`),
      raw.file("good", "x"),
    ],
    destination,
  );
  assert.deepEqual(readdirSync(destination), ["good"]);
  assert.equal(report.files, 1);
  assert.deepEqual(
    report.skipped.map(({ path, reason }) => [path.length, reason]),
    [
      [256, "the name is too long (on the host)"],
      [257, "the name is too long (on the host)"],
    ],
  );
});

test("whatever is sent, what lies outside of the destination stays as it was, and no incomplete file remains", async () => {
  const names = ["a", "b", "link", "dir", "..", ".", "", "é\xff", "outside", "secret", "n".repeat(300)];
  const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
  const links = fc.constantFrom("../outside", "/etc", "..", ".", "a", "dir", "../outside/secret", "link/secret");
  const record = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(path, fc.string()).map(([p, c]) => raw.file(p, c, { mode: 0o7777 })) },
    { weight: 4, arbitrary: path.map((p) => raw.directory(p, { mode: 0o7777 })) },
    { weight: 4, arbitrary: fc.tuple(path, links).map(([p, l]) => raw.symlink(p, l)) },
    { weight: 2, arbitrary: fc.tuple(path, path).map(([p, l]) => raw.hardLink(p, l)) },
    { weight: 1, arbitrary: path.map((p) => raw.entry({ path: p, size: 10 })) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(record, { maxLength: 12 }), fc.boolean(), fc.boolean(), async (records, named, old) => {
      using scratch = new Scratch();
      const { destination, outside } = arrange(scratch);
      if (old) symlinkSync("../outside", scratch.join("destination/link"));
      const before = picture(outside);
      const target = named ? scratch.join("destination/named") : destination;
      await receive(records, target).catch((error: unknown) => assert.ok(error instanceof SbxError, String(error)));
      assert.deepEqual(picture(outside), before);
      assert.deepEqual(readdirSync(scratch.path).sort(), ["destination", "outside"]);
      assert.deepEqual(leftovers(destination), []);
    }),
    { numRuns: 300 },
  );
});
