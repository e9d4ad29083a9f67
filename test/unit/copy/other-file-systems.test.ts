/** Destinations with another file system mounted below them, or without room: real mounts in a namespace of their own. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { Scratch } from "./scratch.ts";

const MODULES = {
  unpack: new URL("../../../src/runtime/copy/unpack.ts", import.meta.url).href,
  destination: new URL("../../../src/runtime/copy/destination.ts", import.meta.url).href,
  raw: new URL("./raw-records.ts", import.meta.url).href,
};

/** Unpacks `records` into a directory whose `mounted` is a tmpfs; what the body returns comes back as JSON. */
function inNamespace(t: TestContext, mount: string, body: string): unknown {
  if (spawnSync("unshare", ["-rm", "true"]).status !== 0) {
    t.skip("this machine does not let us mount in a namespace");
    return undefined;
  }
  using scratch = new Scratch();
  execFileSync("mkdir", ["-p", scratch.join("destination/mounted")]);
  writeFileSync(
    scratch.join("run.mjs"),
    `
    import * as fs from "node:fs";
    import { unpack } from ${JSON.stringify(MODULES.unpack)};
    import { resolveDestination } from ${JSON.stringify(MODULES.destination)};
    import * as raw from ${JSON.stringify(MODULES.raw)};
    const receive = (records) => unpack(raw.streamOf([...records, raw.end()]), resolveDestination("destination", false));
    const run = async () => { ${body} };
    console.log(JSON.stringify(await run()));
    `,
  );
  const script = `${mount} && exec "$0" run.mjs`;
  const output = execFileSync("unshare", ["-rm", "sh", "-c", script, process.execPath], {
    cwd: scratch.path,
    encoding: "utf8",
  });
  return JSON.parse(output);
}

test("files and links reach directories on which another file system is mounted, complete or not at all", (t) => {
  const result = inNamespace(
    t,
    "mount -t tmpfs none destination/mounted",
    `
    fs.writeFileSync("destination/mounted/old", "old");
    const report = await receive([
      raw.directory("mounted"),
      raw.file("mounted/f", "content", { mode: 0o640, mtimeMs: 1_500_000_000_000 }),
      raw.file("mounted/old", "new"),
      raw.symlink("mounted/l", "f"),
      raw.hardLink("mounted/h", "mounted/f"),
      raw.file("beside", "x"),
    ]);
    const stats = fs.statSync("destination/mounted/f");
    return {
      files: report.files,
      names: fs.readdirSync("destination/mounted").sort(),
      all: fs.readdirSync("destination").sort(),
      mode: stats.mode & 0o7777,
      mtimeMs: stats.mtimeMs,
      old: fs.readFileSync("destination/mounted/old", "utf8"),
      link: fs.readlinkSync("destination/mounted/l"),
      sameFile: fs.statSync("destination/mounted/h").ino === stats.ino,
    };
    `,
  );
  if (result === undefined) return;
  assert.deepEqual(result, {
    files: 5,
    names: ["f", "h", "l", "old"],
    all: ["beside", "mounted"],
    mode: 0o640,
    mtimeMs: 1_500_000_000_000,
    old: "new",
    link: "f",
    sameFile: true,
  });
});

test("a full disk is told as one, and leaves what was complete and nothing else", (t) => {
  const result = inNamespace(
    t,
    "mount -t tmpfs -o size=1m none destination",
    `
    const error = await receive([
      raw.file("small", "x"),
      raw.entry({ path: "large", size: 4_000_000 }),
      ...Array.from({ length: 4 }, () => raw.data(Buffer.alloc(1_000_000, 1))),
      raw.endOfFile(),
    ]).catch((error) => error);
    return { code: error.code, message: error.message, hint: error.hint, names: fs.readdirSync("destination") };
    `,
  );
  if (result === undefined) return;
  assert.deepEqual(result, {
    code: "disk_full",
    message: "cannot write 'large': no space left on the host's disk",
    hint: "see what takes the room: df -h .",
    names: ["small"],
  });
});
