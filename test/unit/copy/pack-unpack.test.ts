/** Trees that go out by pack and come back by unpack: what `cp -r` promises, and what is left when it fails. */
import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { execFileSync } from "node:child_process";
import type { CopyEvent } from "../../../src/runtime/copy/copy-records.ts";
import { resolveDestination } from "../../../src/runtime/copy/destination.ts";
import { listContents, resolveSources } from "../../../src/runtime/copy/pack-sources.ts";
import { pack, type PackTotals } from "../../../src/runtime/copy/pack.ts";
import { RecordDecoder } from "../../../src/runtime/copy/record-decoder.ts";
import { Relay } from "../../../src/runtime/copy/relay.ts";
import { scanBytes } from "../../../src/runtime/copy/scan.ts";
import { unpack, type UnpackOptions } from "../../../src/runtime/copy/unpack.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { CopyReport } from "../../../src/runtime/runtime.ts";
import * as raw from "./raw-records.ts";
import { leftovers, picture, Scratch } from "./scratch.ts";

const noTotals = (): PackTotals => ({ files: 0, bytes: 0 });

async function copy(sources: string[], destination: string, options: UnpackOptions = {}): Promise<CopyReport> {
  const stream = pack(resolveSources(sources).sources, noTotals());
  return unpack(stream, resolveDestination(destination, sources.length > 1), options);
}

async function events(sources: string[]): Promise<CopyEvent[]> {
  const decoder = new RecordDecoder();
  const all: CopyEvent[] = [];
  for await (const chunk of pack(resolveSources(sources).sources, noTotals())) all.push(...decoder.push(chunk));
  decoder.finish();
  return all;
}

async function failure(act: () => unknown): Promise<SbxError> {
  try {
    await act();
  } catch (error) {
    assert.ok(error instanceof SbxError, String(error));
    return error;
  }
  throw new Error("it did not fail");
}

function makeTree(scratch: Scratch): string {
  const root = scratch.join("tree");
  mkdirSync(scratch.join("tree/sub/empty"), { recursive: true });
  writeFileSync(scratch.join("tree/plain"), "plain");
  writeFileSync(scratch.join("tree/none"), "");
  writeFileSync(scratch.join("tree/run"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(scratch.join("tree/sub/big"), Buffer.alloc(700_000, "0123456789"));
  writeFileSync(Buffer.concat([Buffer.from(root), Buffer.from("/not-utf8-\xff\xfe", "latin1")]), "bytes");
  writeFileSync(scratch.join("tree/grüße ☃ \n quote'"), "text");
  symlinkSync("plain", scratch.join("tree/to-plain"));
  symlinkSync("/nowhere/at/all", scratch.join("tree/dangling"));
  symlinkSync("sub", scratch.join("tree/to-sub"));
  writeFileSync(scratch.join("tree/secret"), "mine", { mode: 0o600 });
  chmodSync(scratch.join("tree/sub/empty"), 0o711);
  for (const [name, time] of [
    ["plain", 1_000_000_000.25],
    ["sub/empty", 1_100_000_000],
    ["sub", 1_200_000_000],
    [".", -86_400],
  ] as const) {
    utimesSync(scratch.join("tree", name), time, time);
  }
  return root;
}

test("a tree comes out as it went in: names that are not UTF-8, modes, times, links, empty files and directories", async () => {
  using scratch = new Scratch();
  const root = makeTree(scratch);
  mkdirSync(scratch.join("out"));
  const report = await copy([root], scratch.join("out"));
  assert.deepEqual(picture(scratch.join("out/tree")), picture(root));
  assert.deepEqual(report, { files: 10, bytes: 700_000 + 5 + 10 + 5 + 4 + 4, skipped: [] });
  assert.deepEqual(leftovers(scratch.join("out")), []);
});

test("a directory that only its owner may read, or nobody may write, is filled all the same", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("closed/inner"), { recursive: true });
  writeFileSync(scratch.join("closed/inner/f"), "x", { mode: 0o400 });
  chmodSync(scratch.join("closed/inner"), 0o500);
  chmodSync(scratch.join("closed"), 0o500);
  await copy([scratch.join("closed")], scratch.join("copy"));
  assert.deepEqual(picture(scratch.join("copy")), picture(scratch.join("closed")));
});

test("names of one file stay names of one file", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("links"));
  writeFileSync(scratch.join("links/a"), "content");
  linkSync(scratch.join("links/a"), scratch.join("links/b"));
  await copy([scratch.join("links")], scratch.join("copy"));
  assert.equal(statSync(scratch.join("copy/a")).ino, statSync(scratch.join("copy/b")).ino);
  assert.equal(statSync(scratch.join("copy/a")).nlink, 2);
  // Once more over what is there already: each name is replaced.
  await copy([scratch.join("links")], scratch.join("."), {});
  assert.equal(readFileSync(scratch.join("copy/b"), "utf8"), "content");
});

test("a sparse file keeps its size, its content and its holes", async () => {
  using scratch = new Scratch();
  const sparse = scratch.join("sparse");
  const fd = openSync(sparse, "w");
  writeSync(fd, "start", 0);
  writeSync(fd, "middle", 40_000_000);
  closeSync(fd);
  truncateSync(sparse, 100_000_001);
  await copy([sparse], scratch.join("copy"));
  const copied = statSync(scratch.join("copy"));
  assert.equal(copied.size, 100_000_001);
  assert.ok(copied.blocks * 512 <= 1024 * 1024, `${copied.blocks * 512} bytes on disk`);
  assert.ok(readFileSync(sparse).equals(readFileSync(scratch.join("copy"))));
});

test("an existing directory receives the source under its own name", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "x");
  mkdirSync(scratch.join("d/sub"), { recursive: true });
  mkdirSync(scratch.join("out"));
  await copy([scratch.join("f"), scratch.join("d")], scratch.join("out"));
  assert.deepEqual(readdirSync(scratch.join("out")).sort(), ["d", "f"]);
});

test("a source takes the name of a destination that does not exist", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "x");
  mkdirSync(scratch.join("d/sub"), { recursive: true });
  writeFileSync(scratch.join("d/sub/f"), "y");
  await copy([scratch.join("f")], scratch.join("g"));
  await copy([scratch.join("d")], scratch.join("e/"));
  assert.equal(readFileSync(scratch.join("g"), "utf8"), "x");
  assert.equal(readFileSync(scratch.join("e/sub/f"), "utf8"), "y");
});

test("an existing file is replaced by the single source, also through a link that the user names", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "new");
  writeFileSync(scratch.join("g"), "old");
  symlinkSync("g", scratch.join("to-g"));
  await copy([scratch.join("f")], scratch.join("to-g"));
  assert.equal(readFileSync(scratch.join("g"), "utf8"), "new");
  assert.equal(picture(scratch.path, { times: false }).includes("./to-g -> g"), true);
});

test("a link to a directory that the user names as the destination is followed", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "x");
  mkdirSync(scratch.join("real"));
  symlinkSync("real", scratch.join("link"));
  await copy([scratch.join("f")], scratch.join("link"));
  assert.equal(readFileSync(scratch.join("real/f"), "utf8"), "x");
});

test("destinations that cannot take the sources are refused before anything is copied", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "x");
  symlinkSync("nowhere", scratch.join("dangling"));
  const cases: [string, boolean, RegExp][] = [
    ["", false, /destination is empty/],
    [scratch.join("new"), true, /not an existing directory, and several files/],
    [scratch.join("f"), true, /not an existing directory, and several files/],
    [scratch.join("no/such/dir"), false, /no such directory: '.*no\/such'/],
    [scratch.join("f/"), false, /is not a directory/],
    [scratch.join("f/below"), false, /is not a directory/],
    [scratch.join("dangling"), false, /symbolic link that leads nowhere/],
    ["/dev/null", false, /neither a file nor a directory/],
  ];
  for (const [path, several, message] of cases) {
    const error = await failure(() => resolveDestination(path, several));
    assert.match(error.message, message);
  }
});

test("a file is refused where the destination's slash asks for a directory", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "x");
  const error = await failure(() => copy([scratch.join("f")], scratch.join("new/")));
  assert.match(error.message, /'f' is not a directory, as the paths ask for/);
  assert.deepEqual(readdirSync(scratch.path), ["f"]);
});

test("sources that are missing, or would get the same name, are refused before anything is copied", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("a"));
  mkdirSync(scratch.join("b"));
  writeFileSync(scratch.join("a/x"), "1");
  writeFileSync(scratch.join("b/x"), "2");
  const missing = await failure(() => resolveSources([scratch.join("a"), scratch.join("gone")]));
  assert.equal(missing.code, "file_error");
  assert.match(missing.message, /no such file or directory: '.*\/gone'/);
  const same = await failure(() => resolveSources([scratch.join("a/x"), scratch.join("b/x")]));
  assert.equal(same.code, "usage");
  assert.match(same.message, /would both become 'x'/);
  assert.match((await failure(() => resolveSources([scratch.join("a/x/")]))).message, /'.*' is not a directory/);
});

test("'dir/.' stands for what is in the directory, and a slash behind a link for what it leads to", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("d"));
  writeFileSync(scratch.join("d/f"), "x");
  symlinkSync("d", scratch.join("link"));
  const contents = resolveSources([`${scratch.join("d")}/.`]);
  assert.equal(contents.isContents, true);
  assert.deepEqual(
    contents.sources.flatMap(listContents).map(({ name }) => name.toString()),
    ["f"],
  );
  mkdirSync(scratch.join("out"));
  await copy([scratch.join("link")], scratch.join("out/as-link"));
  await copy([scratch.join("link/")], scratch.join("out/as-directory"));
  assert.deepEqual(picture(scratch.join("out"), { times: false }).slice(1), [
    "./as-directory/ 755",
    `./as-directory/f 644 1 ${Buffer.from("x").toString("base64")}`,
    "./as-link -> d",
  ]);
});

test("only the content of the source lands in an existing destination when that is asked for", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("out"));
  const records = [raw.directory("src"), raw.file("src/f", "x"), raw.directory("src/d"), raw.end()];
  const target = resolveDestination(scratch.join("out"), false);
  await unpack(raw.streamOf(records), target, { contentsOnly: true });
  assert.deepEqual(readdirSync(scratch.join("out")).sort(), ["d", "f"]);
  const error = await failure(() => unpack(raw.streamOf([raw.file("f", "x")]), target, { contentsOnly: true }));
  assert.match(error.message, /is not a directory, as the paths ask for/);
});

test("sockets, devices and FIFOs are reported as skipped, with their kind", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("d"));
  writeFileSync(scratch.join("d/f"), "x");
  execFileSync("mkfifo", [scratch.join("d/pipe")]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(scratch.join("d/sock"), resolve));
  const report = await copy([scratch.join("d")], scratch.join("out"));
  server.close();
  assert.equal(report.files, 1);
  assert.deepEqual(
    report.skipped.sort((a, b) => a.path.localeCompare(b.path)),
    [
      { path: "d/pipe", reason: "a FIFO cannot be copied" },
      { path: "d/sock", reason: "a socket cannot be copied" },
    ],
  );
});

test("a file that is sent while it shrinks keeps the size it had, and ends in zeros", async () => {
  using scratch = new Scratch();
  const path = scratch.join("f");
  writeFileSync(path, Buffer.alloc(1_000_000, 1));
  const stream = pack(resolveSources([path]).sources, noTotals());
  const decoder = new RecordDecoder();
  const received: CopyEvent[] = [];
  for await (const chunk of stream) {
    received.push(...decoder.push(chunk));
    truncateSync(path, 300_000);
  }
  decoder.finish();
  const bytes = received.reduce(
    (sum, event) => sum + (event.kind === "data" ? event.bytes.length : event.kind === "hole" ? event.bytes : 0),
    0,
  );
  assert.equal(bytes, 1_000_000);
});

test("the order is depth first, each directory before what is in it", async () => {
  using scratch = new Scratch();
  const seen = new Set<string>();
  for (const event of await events([makeTree(scratch)])) {
    if (event.kind !== "entry") continue;
    const path = event.entry.path.toString("latin1");
    const parent = path.split("/").slice(0, -1).join("/");
    assert.ok(parent === "" || seen.has(parent), path);
    if (event.entry.type === "directory") seen.add(path);
  }
  assert.deepEqual([...seen].sort(), ["tree", "tree/sub", "tree/sub/empty"]);
});

test("many small files travel in few chunks", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("many"));
  for (let index = 0; index < 1000; index++) writeFileSync(scratch.join(`many/${index}`), `content ${index}`);
  let chunks = 0;
  for await (const chunk of pack(resolveSources([scratch.join("many")]).sources, noTotals())) {
    assert.ok(chunk.length <= 256 * 1024);
    chunks += 1;
  }
  assert.equal(chunks, 1);
});

test("the scan finds the bytes that the copy will report, a file with two names once", async () => {
  using scratch = new Scratch();
  linkSync(join(makeTree(scratch), "sub/big"), scratch.join("tree/again"));
  const { sources } = resolveSources([scratch.join("tree")]);
  const totals = noTotals();
  for await (const chunk of pack(sources, totals)) assert.ok(chunk.length > 0);
  assert.equal(await scanBytes(sources), totals.bytes);
});

test("a stream that breaks off leaves complete files, and nothing of the incomplete one", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("out"));
  const records = [
    raw.directory("d"),
    raw.file("d/whole", "whole"),
    raw.entry({ path: "d/half", size: 10 }),
    raw.data("12345"),
  ];
  const error = await failure(() => unpack(raw.streamOf(records), resolveDestination(scratch.join("out"), false)));
  assert.match(error.message, /no end/);
  assert.deepEqual(readdirSync(scratch.join("out/d")), ["whole"]);
  assert.deepEqual(leftovers(scratch.join("out")), []);
});

test("an incomplete file never takes the place of the one that was there", async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.join("f"), "old");
  const records = [raw.entry({ path: "f", size: 10 }), raw.data("new")];
  await failure(() => unpack(raw.streamOf(records), resolveDestination(scratch.path, false)));
  assert.equal(readFileSync(scratch.join("f"), "utf8"), "old");
  assert.deepEqual(readdirSync(scratch.path), ["f"]);
});

test("an aborted copy ends with the abort, closes its files and leaves nothing incomplete", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("out"));
  const controller = new AbortController();
  let released = false;
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      yield raw.entry({ path: "f", size: 2 ** 40 });
      for (;;) {
        yield raw.data(Buffer.alloc(1000, 1));
        controller.abort();
      }
    } finally {
      released = true;
    }
  }
  const target = resolveDestination(scratch.join("out"), false);
  const error = await failure(() => unpack(endless(), target, { signal: controller.signal }));
  assert.equal(error.code, "aborted");
  assert.equal(released, true);
  assert.deepEqual(readdirSync(scratch.join("out")), []);
});

test("what is received and sent is counted as it goes, holes included", async () => {
  using scratch = new Scratch();
  const records = [raw.entry({ path: "f", size: 1005 }), raw.data("12345"), raw.hole(1000), raw.endOfFile(), raw.end()];
  const counts: number[] = [];
  const target = resolveDestination(scratch.join("g"), false);
  await unpack(raw.streamOf(records), target, { onBytes: (bytes) => counts.push(bytes) });
  assert.equal(counts.at(-1), 1005);
  const sent: number[] = [];
  const { sources } = resolveSources([scratch.join("g")]);
  for await (const chunk of pack(sources, noTotals(), { onBytes: (bytes) => sent.push(bytes) })) assert.ok(chunk);
  assert.equal(sent.at(-1), 1005);
});

test("a relay passes every byte on, counts, and stops at the first chunk that breaks the rules", async () => {
  const good = [raw.directory("d"), raw.file("d/f", "hello"), raw.skipped("d/s", "socket"), raw.end()];
  const relay = new Relay();
  const passed: Buffer[] = [];
  for await (const chunk of relay.pass(raw.streamOf(good, 7))) passed.push(chunk);
  assert.ok(Buffer.concat(passed).equals(Buffer.concat(good)));
  assert.deepEqual(relay.totals, { files: 1, bytes: 5 });
  assert.deepEqual(relay.skipped.list(), [{ path: "d/s", reason: "socket" }]);

  const bad = new Relay();
  const leaked: Buffer[] = [];
  const error = await failure(async () => {
    async function* hostile(): AsyncGenerator<Buffer> {
      yield raw.file("ok", "x");
      yield raw.file("../evil", "x");
    }
    for await (const chunk of bad.pass(hostile())) leaked.push(chunk);
  });
  assert.equal(error.code, "copy_refused");
  assert.equal(leaked.length, 1);
});

test("of more skipped entries than a report holds, the rest is only counted", async () => {
  using scratch = new Scratch();
  const records = Array.from({ length: 10_005 }, (_, index) => raw.skipped(`s${index}`, "socket"));
  const report = await unpack(raw.streamOf([...records, raw.end()]), resolveDestination(scratch.path, false));
  assert.equal(report.skipped.length, 10_001);
  assert.deepEqual(report.skipped.at(-1), { path: "…", reason: "and 5 more" });
});
