/** Copies between this end and the agent's own, written in another language: each reads what the other writes. */
import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
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
import { join } from "node:path";
import { test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { ProgressEvent } from "../../../src/runtime/types.ts";
import { openRealSandbox } from "./real-sandbox.ts";
import { leftovers, picture, Scratch } from "./scratch.ts";

function makeTree(root: string): void {
  mkdirSync(join(root, "sub/empty"), { recursive: true });
  writeFileSync(join(root, "plain"), "plain");
  writeFileSync(join(root, "none"), "");
  writeFileSync(join(root, "run"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(root, "closed"), "x", { mode: 0o400 });
  writeFileSync(join(root, "sub/big"), Buffer.alloc(1_700_000, "0123456789abc"));
  writeFileSync(Buffer.concat([Buffer.from(root), Buffer.from("/not-utf8-\xff\xfe", "latin1")]), "bytes");
  writeFileSync(join(root, "grüße ☃\n"), "text");
  symlinkSync("plain", join(root, "to-plain"));
  symlinkSync("/nowhere/at/all", join(root, "dangling"));
  linkSync(join(root, "plain"), join(root, "sub/other-name"));
  for (let index = 0; index < 300; index++) writeFileSync(join(root, `sub/empty/${index}`), `content ${index}`);
  utimesSync(join(root, "plain"), 1_000_000_000.25, 1_000_000_000.25);
  utimesSync(join(root, "sub"), 1_200_000_000, 1_200_000_000);
}

async function failure(promise: Promise<unknown>): Promise<SbxError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SbxError, String(error));
    return error;
  }
  throw new Error("it did not fail");
}

test("a tree goes up and comes down as it was", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  mkdirSync(scratch.join("tree"));
  makeTree(scratch.join("tree"));
  const wanted = picture(scratch.join("tree"));
  const up = await sandbox.upload([scratch.join("tree")], "copy");
  assert.deepEqual(picture(join(home, "copy")), wanted);
  assert.deepEqual(up.skipped, []);
  const down = await sandbox.download(["copy"], scratch.join("back"));
  assert.deepEqual(picture(scratch.join("back")), wanted);
  assert.deepEqual({ ...down, skipped: [] }, { ...up, skipped: [] });
  assert.equal(up.files, 310);
  assert.deepEqual(leftovers(home), []);
  assert.deepEqual(leftovers(scratch.path), []);
});

test("a tree goes from one sandbox to another as it was, without touching the host's disk", async (t) => {
  const first = await openRealSandbox(t);
  const second = await openRealSandbox(t);
  mkdirSync(join(first.home, "tree"));
  makeTree(join(first.home, "tree"));
  const report = await first.sandbox.transfer(["tree"], second.sandbox, "copy");
  assert.deepEqual(picture(join(second.home, "copy")), picture(join(first.home, "tree")));
  assert.equal(report.files, 310);
});

test("sparse files keep their holes in both directions", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  const fd = openSync(scratch.join("sparse"), "w");
  writeSync(fd, "start", 0);
  writeSync(fd, "middle", 20_000_000);
  closeSync(fd);
  truncateSync(scratch.join("sparse"), 50_000_001);
  await sandbox.upload([scratch.join("sparse")], "up");
  await sandbox.download(["up"], scratch.join("down"));
  for (const path of [join(home, "up"), scratch.join("down")]) {
    const stats = statSync(path);
    assert.equal(stats.size, 50_000_001);
    assert.ok(stats.blocks * 512 < 1024 * 1024, `${path}: ${stats.blocks * 512} bytes on disk`);
    assert.ok(readFileSync(path).equals(readFileSync(scratch.join("sparse"))));
  }
});

test("set-user-id bits stay in the sandbox", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  writeFileSync(join(home, "f"), "x");
  const { execFileSync } = await import("node:child_process");
  execFileSync("chmod", ["6755", join(home, "f")]);
  await sandbox.download(["f"], scratch.join("f"));
  assert.equal(statSync(scratch.join("f")).mode & 0o7777, 0o755);
});

test("where things land follows cp: into directories, under new names, only the content", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  mkdirSync(scratch.join("d"));
  writeFileSync(scratch.join("d/f"), "x");
  writeFileSync(scratch.join("g"), "y");
  mkdirSync(join(home, "there"));
  await sandbox.upload([scratch.join("g")], "there");
  await sandbox.upload([scratch.join("g")], "there/new-name");
  await sandbox.upload([scratch.join("d"), scratch.join("g")], "there/");
  await sandbox.upload([`${scratch.join("d")}/.`], "there");
  await sandbox.upload([`${scratch.join("d")}/.`], "made");
  await sandbox.upload([scratch.join("d")], "made-too/");
  assert.deepEqual(readdirSync(join(home, "there")).sort(), ["d", "f", "g", "new-name"]);
  assert.deepEqual(readdirSync(join(home, "made")), ["f"]);
  assert.deepEqual(readdirSync(join(home, "made-too")), ["f"]);

  mkdirSync(scratch.join("out"));
  await sandbox.download(["there/f"], scratch.join("out"));
  await sandbox.download(["there/f"], scratch.join("out/new-name"));
  await sandbox.download(["there/d/."], scratch.join("out/content"));
  mkdirSync(scratch.join("into"));
  await sandbox.download(["there/."], scratch.join("into"));
  assert.deepEqual(readdirSync(scratch.join("out")).sort(), ["content", "f", "new-name"]);
  assert.deepEqual(readdirSync(scratch.join("out/content")), ["f"]);
  assert.deepEqual(readdirSync(scratch.join("into")).sort(), ["d", "f", "g", "new-name"]);
});

test("destinations in the sandbox that cannot take the sources are refused with what to do", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  writeFileSync(scratch.join("a"), "a");
  writeFileSync(scratch.join("b"), "b");
  writeFileSync(join(home, "file"), "kept");
  const several = await failure(sandbox.upload([scratch.join("a"), scratch.join("b")], "nowhere"));
  assert.equal(several.message, "'nowhere' is not an existing directory in the sandbox");
  assert.match(several.hint ?? "", /^make it first: sbx exec sbx_loc_\w+ -- mkdir -p 'nowhere'$/);
  assert.match(
    (await failure(sandbox.upload([scratch.join("a"), scratch.join("b")], "file"))).message,
    /not an existing/,
  );
  assert.match((await failure(sandbox.upload([scratch.join("a")], "new/"))).message, /not an existing directory/);
  const parent = await failure(sandbox.upload([scratch.join("a")], "no/such/place"));
  assert.equal(parent.code, "guest_error");
  assert.match(parent.message, /no such file or directory in the sandbox/);
  assert.match((await failure(sandbox.upload([], "x"))).message, /nothing to copy/);
  assert.equal(readFileSync(join(home, "file"), "utf8"), "kept");
  assert.equal(existsSync(join(home, "nowhere")), false);
});

test("the sandbox expands patterns, and takes a name with special characters for what it is", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  for (const name of ["a.txt", "b.txt", "c.log", "odd[1]*.txt"]) writeFileSync(join(home, name), name);
  mkdirSync(scratch.join("out"));
  await sandbox.download(["*.txt"], scratch.join("out"));
  assert.deepEqual(readdirSync(scratch.join("out")).sort(), ["a.txt", "b.txt", "odd[1]*.txt"]);
  mkdirSync(scratch.join("odd"));
  await sandbox.download(["odd[1]*.txt"], scratch.join("odd"));
  assert.deepEqual(readdirSync(scratch.join("odd")), ["odd[1]*.txt"]);
  await sandbox.download(["odd[1]*.txt"], scratch.join("renamed"));
  assert.equal(readFileSync(scratch.join("renamed"), "utf8"), "odd[1]*.txt");
  await sandbox.download(["odd[1]*.txt", "c.*"], scratch.join("odd"));
  assert.deepEqual(readdirSync(scratch.join("odd")).sort(), ["c.log", "odd[1]*.txt"]);
  const error = await failure(sandbox.download(["*.txt"], scratch.join("nowhere")));
  assert.match(error.message, /not an existing directory, and several files/);
});

test("a source that is missing in the sandbox is named, and nothing is made on the host", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  for (const path of ["missing", "no/*.such"]) {
    const error = await failure(sandbox.download([path], scratch.path));
    assert.equal(error.code, "guest_error");
    assert.equal(error.message, `no such file or directory in the sandbox: '${join(home, path)}'`);
  }
  assert.deepEqual(readdirSync(scratch.path), []);
});

test("a transfer tells of the end that failed: a missing source, a destination that is none", async (t) => {
  const first = await openRealSandbox(t);
  const second = await openRealSandbox(t);
  const missing = await failure(first.sandbox.transfer(["missing"], second.sandbox, "copy"));
  assert.equal(missing.message, `no such file or directory in the sandbox: '${join(first.home, "missing")}'`);
  assert.equal(existsSync(join(second.home, "copy")), false);
  writeFileSync(join(first.home, "f"), Buffer.alloc(3_000_000, 1));
  const nowhere = await failure(first.sandbox.transfer(["f"], second.sandbox, "no/such/place"));
  assert.equal(nowhere.code, "guest_error");
  assert.match(nowhere.message, /no such file or directory in the sandbox: '.*\/no\/such/);
  await first.sandbox.transfer(["f"], second.sandbox, "f");
  for (const [source, destination] of [
    ["", ""],
    ["f", "f"],
    ["/", "/tmp"],
    ["x", "x/y"],
    ["./x/.", "/home/app/x"],
  ]) {
    const inside = await failure(first.sandbox.transfer([source ?? ""], first.sandbox, destination ?? ""));
    assert.match(inside.message, /cannot be copied into itself/);
  }
  assert.equal(statSync(join(second.home, "f")).size, 3_000_000);
});

test("two sources of one name are refused before anything is copied", async (t) => {
  const { sandbox } = await openRealSandbox(t);
  using scratch = new Scratch();
  const error = await failure(sandbox.download(["a/x", "b/x"], scratch.path));
  assert.equal(error.code, "usage");
});

test("what is skipped at either end is reported once", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  const { execFileSync } = await import("node:child_process");
  mkdirSync(join(home, "d"));
  execFileSync("mkfifo", [join(home, "d/pipe")]);
  writeFileSync(join(home, "d/f"), "x");
  const down = await sandbox.download(["d"], scratch.join("d"));
  assert.equal(down.files, 1);
  assert.deepEqual(
    down.skipped.map(({ path }) => path),
    ["d/pipe"],
  );
  execFileSync("mkfifo", [scratch.join("d/pipe")]);
  const up = await sandbox.upload([scratch.join("d")], "up");
  assert.deepEqual(up.skipped, [{ path: "d/pipe", reason: "a FIFO cannot be copied" }]);
  assert.equal(up.files, 1);
});

test("progress counts bytes, with the total for an upload, and ends with all of them", async (t) => {
  const { sandbox } = await openRealSandbox(t);
  using scratch = new Scratch();
  writeFileSync(scratch.join("big"), Buffer.alloc(3_000_000, 1));
  const up: ProgressEvent[] = [];
  await sandbox.upload([scratch.join("big")], "big", { onProgress: (event) => up.push(event) });
  assert.deepEqual(up.at(-1), {
    stage: "copy",
    message: "copying to the sandbox",
    done: 3_000_000,
    total: 3_000_000,
    unit: "bytes",
  });
  const down: ProgressEvent[] = [];
  await sandbox.download(["big"], scratch.join("back"), { onProgress: (event) => down.push(event) });
  assert.deepEqual(down.at(-1), { stage: "copy", message: "copying from the sandbox", done: 3_000_000, unit: "bytes" });
});

test("an aborted upload leaves nothing incomplete in the sandbox, an aborted download nothing on the host", async (t) => {
  const { sandbox, home, client } = await openRealSandbox(t);
  using scratch = new Scratch();
  const fd = openSync(scratch.join("big"), "w");
  for (let index = 0; index < 60; index++) writeSync(fd, Buffer.alloc(1_000_000, 1));
  closeSync(fd);
  const abortWhenUnderWay = (): { signal: AbortSignal; onProgress: (event: ProgressEvent) => void } => {
    const controller = new AbortController();
    return {
      signal: controller.signal,
      onProgress: ({ done }) => {
        if ((done ?? 0) > 1_000_000) controller.abort();
      },
    };
  };
  assert.equal((await failure(sandbox.upload([scratch.join("big")], "up", abortWhenUnderWay()))).code, "aborted");
  // The agent cleans up when it hears of it; a call after that comes back later.
  while (readdirSync(home).some((name) => name !== ".agent.sock")) await client.call("envGet", { key: "x" });
  await sandbox.upload([scratch.join("big")], "whole");
  const out = scratch.join("out");
  mkdirSync(out);
  assert.equal((await failure(sandbox.download(["whole"], out, abortWhenUnderWay()))).code, "aborted");
  assert.deepEqual(readdirSync(out), []);
  // The connection is as good as before.
  await sandbox.download(["whole"], scratch.join("again"));
  assert.equal(statSync(scratch.join("again")).size, 60_000_000);
});

test("a copy to a host directory that cannot be written fails with its name, and the sandbox stays usable", async (t) => {
  const { sandbox, home } = await openRealSandbox(t);
  using scratch = new Scratch();
  mkdirSync(join(home, "d/x"), { recursive: true });
  writeFileSync(scratch.join("d"), "a file");
  const error = await failure(sandbox.download(["d"], scratch.path));
  assert.equal(error.code, "copy_refused");
  assert.match(error.message, /'d' is not a directory at the destination/);
  writeFileSync(join(home, "f"), "x");
  await sandbox.download(["f"], scratch.join("f"));
});

test("commands run through client, server and agent: output, input, exit code, signals", async (t) => {
  const { sandbox } = await openRealSandbox(t);
  const session = await sandbox.exec({ argv: ["sh", "-c", "cat; echo err >&2; exit 5"], stdin: true });
  session.stdin?.end("through");
  const [out, err, status] = await Promise.all([session.stdout.toArray(), session.stderr.toArray(), session.exit]);
  assert.equal(Buffer.concat(out).toString(), "through");
  assert.equal(Buffer.concat(err).toString(), "err\n");
  assert.deepEqual(status, { code: 5, signal: null, oom: null });
  const controller = new AbortController();
  const sleeper = await sandbox.exec({ argv: ["sleep", "1000"] }, { signal: controller.signal });
  controller.abort();
  assert.deepEqual(await sleeper.exit, { code: 137, signal: "SIGKILL", oom: null });
  assert.equal((await failure(sandbox.exec({ argv: ["no-such-command"] }))).exitCode, 127);
  assert.equal((await failure(sandbox.exec({ argv: ["/etc/passwd"] }))).exitCode, 126);
  const cwd = await failure(sandbox.exec({ argv: ["true"], cwd: "/no/such/dir" }));
  assert.match(cwd.message, /working directory '\/no\/such\/dir'/);
});
