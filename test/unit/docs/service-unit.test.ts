/** The unit in docs/control-plane.md is one that systemd takes as it is, and keeps sandboxes out of what it does. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const PAGE = path.resolve(import.meta.dirname, "../../../docs/control-plane.md");

test("systemd has nothing to say against the documented unit", (t) => {
  const [, unit = ""] = /```ini\n(.*?)```/s.exec(readFileSync(PAGE, "utf8")) ?? [];
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "sbx.service");
  // The one thing that this machine need not have.
  writeFileSync(file, unit.replace("/usr/local/bin/sbx", process.execPath));
  const env = { ...process.env, XDG_RUNTIME_DIR: directory };
  const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", "--user", file], {
    env,
    encoding: "utf8",
  });
  assert.deepEqual([status, stdout, stderr], [0, "", ""]);
  // Without these the end of the server, or of one sandbox, would be the end of all.
  for (const line of ["KillMode=process", "OOMPolicy=continue"]) assert.ok(unit.split("\n").includes(line), line);
});
