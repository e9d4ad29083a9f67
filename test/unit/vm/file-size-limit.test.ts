/** The limit on the size of files of processes that run: raised for all of them, never lowered. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { allowDiskSize, fileSizeFor } from "../../../src/vm/file-size-limit.ts";
import { findJailTools } from "../../../src/vm/jail.ts";

const GiB = 1024 ** 3;

function softLimit(pid: number): string {
  return /^Max file size +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.[1] ?? "";
}

test("all processes of a machine may write as large a file as the disk needs, and keep what they have", async (t) => {
  const tools = await findJailTools();
  assert.ok(tools.prlimit !== null);
  const child = spawn(tools.prlimit, [`--fsize=${GiB}:`, "--", "bash", "-c", "sleep 1000 & echo $!; wait"], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const leader = child.pid ?? 0;
  t.after(() => process.kill(-leader, "SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const inner = Number(line.toString());
  assert.deepEqual([leader, inner].map(softLimit), [String(GiB), String(GiB)]);
  await allowDiskSize(leader, { ...tools, prlimit: null }, 40 * GiB);
  assert.equal(softLimit(inner), String(GiB), "without the tool there is nothing to be done");
  await allowDiskSize(leader, tools, 40 * GiB);
  const raised = String(fileSizeFor(40 * GiB));
  assert.deepEqual([leader, inner].map(softLimit), [raised, raised]);
  await allowDiskSize(leader, tools, 1 * GiB);
  assert.deepEqual([leader, inner].map(softLimit), [raised, raised]);
});

test("what is gone meanwhile is no error", async () => {
  const child = spawn("true");
  await once(child, "exit");
  await allowDiskSize(child.pid ?? 0, await findJailTools(), GiB);
});
