/** Incomplete files: where they are, who is told, and who removes what a killed copy has left. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { test } from "node:test";
import { resolveDestination } from "../../../src/runtime/copy/destination.ts";
import { removeStaging, removeStaleStaging } from "../../../src/runtime/copy/staging.ts";
import { unpack } from "../../../src/runtime/copy/unpack.ts";
import * as raw from "./raw-records.ts";
import { Scratch } from "./scratch.ts";

/** A process id that was in use a moment ago and is not now. */
function deadPid(): number {
  return Number(execFileSync(process.execPath, ["-e", "console.log(process.pid)"], { encoding: "utf8" }));
}

test("whoever asked is told the directory of incomplete files before there is one, and it is gone afterwards", async () => {
  using scratch = new Scratch();
  const told: { path: string; isThere: boolean }[] = [];
  const onStaging = (path: string): void => void told.push({ path, isThere: existsSync(path) });
  const records = [raw.file("a", "x"), raw.file("b", "y"), raw.end()];
  await unpack(raw.streamOf(records), resolveDestination(scratch.path, false), { onStaging });
  assert.equal(told.length, 1);
  assert.equal(told[0]?.isThere, false);
  assert.match(basename(told[0].path), /^\.sbx-copy-\d+-\d+-[A-Za-z0-9]{6}$/);
  assert.equal(existsSync(told[0].path), false);
});

test("a copy removes what killed copies have left in the same destination, and nothing that only looks alike", async () => {
  using scratch = new Scratch();
  const stale = `.sbx-copy-${deadPid()}-1-abcdef`;
  mkdirSync(scratch.join(stale));
  writeFileSync(scratch.join(stale, "0"), "half");
  const alive = `.sbx-copy-${process.pid}-0-abcdef`;
  mkdirSync(scratch.join(alive));
  mkdirSync(scratch.join("outside"));
  symlinkSync("outside", scratch.join(`.sbx-copy-${deadPid()}-1-ghijkl`));
  mkdirSync(scratch.join(".sbx-copy-notes"));
  const foreign = `.sbx-copy-${deadPid()}-1-mnopqr`;
  mkdirSync(scratch.join(foreign));
  writeFileSync(scratch.join(foreign, "not ours"), "kept");
  const before = readdirSync(scratch.path);
  await unpack(raw.streamOf([raw.file("f", "x"), raw.end()]), resolveDestination(scratch.path, false));
  const after = readdirSync(scratch.path);
  assert.deepEqual(
    before.filter((name) => !after.includes(name)),
    [stale],
  );
  assert.ok(existsSync(scratch.join(foreign, "not ours")));
});

test("a process id that was given to another process since does not protect what the first one left", () => {
  using scratch = new Scratch();
  const path = scratch.join(`.sbx-copy-${process.pid}-1-abcdef`);
  mkdirSync(path);
  assert.equal(removeStaging(path), process.platform === "linux");
  assert.deepEqual(removeStaleStaging(scratch.join("missing")), []);
});

test("after kill -9 in the middle of a file, the next copy to the same place leaves only complete files", async () => {
  using scratch = new Scratch();
  const script = `
    import { unpack } from ${JSON.stringify(new URL("../../../src/runtime/copy/unpack.ts", import.meta.url).href)};
    import { resolveDestination } from ${JSON.stringify(new URL("../../../src/runtime/copy/destination.ts", import.meta.url).href)};
    import * as raw from ${JSON.stringify(new URL("./raw-records.ts", import.meta.url).href)};
    async function* half() {
      yield Buffer.concat([raw.file("whole", "x"), raw.entry({ path: "half", size: 100 }), raw.data("12345")]);
      console.log("now");
      setInterval(() => undefined, 1000);
      await new Promise(() => undefined);
    }
    await unpack(half(), resolveDestination(${JSON.stringify(scratch.path)}, false));
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "close");
  assert.equal(readdirSync(scratch.path).length, 2);
  await unpack(raw.streamOf([raw.file("next", "y"), raw.end()]), resolveDestination(scratch.path, false));
  assert.deepEqual(readdirSync(scratch.path).sort(), ["next", "whole"]);
});
