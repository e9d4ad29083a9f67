/** Who is below a process, however the kernel tells it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { processTree } from "../../../src/host/process-tree.ts";

/** A shell, one below it, and one of a thread below that; they say their pids. */
const PROGRAM = `
echo $$
sh -c 'echo $$; python3 -c "
import os, subprocess, threading
def start():
    child = subprocess.Popen([\\"sleep\\", \\"1000\\"])
    print(os.getpid(), child.pid, flush=True)
    child.wait()
threading.Thread(target=start).start()
"; :'; :
`;

async function startTree(t: TestContext): Promise<number[]> {
  const child = spawn("sh", ["-c", PROGRAM], { stdio: ["ignore", "pipe", "inherit"], detached: true });
  const closed = once(child, "close");
  t.after(async () => {
    process.kill(-(child.pid ?? 0), "SIGKILL");
    await closed;
  });
  const pids: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    pids.push(...line.split(" ").map(Number));
    if (pids.length === 4) break;
  }
  return pids;
}

for (const lookup of ["children", "parents"] as const) {
  test(`a tree has its leader first, then everything below it, by ${lookup}`, async (t) => {
    const pids = await startTree(t);
    assert.deepEqual(processTree(pids.slice(0, 1), lookup), pids);
    assert.deepEqual(processTree(pids.slice(2), lookup), pids.slice(2));
  });

  test(`of a process that has ended nobody is left but itself, by ${lookup}`, async () => {
    const child = spawn("true");
    await once(child, "close");
    assert.deepEqual(processTree([child.pid ?? 0], lookup), [child.pid]);
  });
}
