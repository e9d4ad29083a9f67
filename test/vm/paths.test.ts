/** Homes with names that break programs which put paths into strings. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { untilClean } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const NAMES = {
  "blanks, commas and quotes": "a b,c=d 'e' \"f\" \\g %20 $HOME `h` ; #i",
  "letters of other alphabets and a line end": "ünï ☃ \n 中文",
  "more bytes than a socket's path may have": "long-".repeat(36),
};

for (const [what, name] of Object.entries(NAMES)) {
  test(`everything works in a home whose path has ${what}`, async () => {
    const base = await mkdtemp(path.join(tmpdir(), `sbx-vm-${process.pid}-`));
    await using home = await openTestHome({ path: path.join(base, name, "home"), templates: "none" });
    try {
      const id = await home.create("--memory", "512MiB", "--cpus", "1", "--timeout", "10m");
      assert.equal(await home.must(["exec", id, "--", "echo", "works"]), "works");
      await mkdir(path.join(base, name, "files"));
      await writeFile(path.join(base, name, "files", name.slice(0, 40).replaceAll("/", "_")), "content\n");
      await home.must(["copy", path.join(base, name, "files"), `${id}:`]);
      assert.equal(await home.bash(id, "cat files/*"), "content");
      await home.must(["copy", `${id}:files`, path.join(base, name, "back")]);
      await home.must(["kill", id]);
      await untilClean(home);
    } finally {
      await home.clear();
      await rm(base, { recursive: true, force: true });
    }
  });
}
