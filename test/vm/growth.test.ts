/** A hundred sandboxes one after the other, in one process: nothing may add up. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DEFAULT_SETTINGS } from "../../src/runtime/defaults.ts";
import { openLocalRuntime } from "../../src/runtime/local/index.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { processesOf, untilClean } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const ROUNDS = 100;
/** What the first rounds load once and keep. */
const WARM_UP_ROUNDS = 10;
const MIB = 1024 ** 2;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

async function round(runtime: Runtime, number: number): Promise<void> {
  await using sandbox = await runtime.create({ lifetime: { kind: "duration", ms: 600_000 } });
  await using session = await sandbox.exec({ argv: ["echo", String(number)] });
  let text = "";
  for await (const chunk of session.stdout.setEncoding("utf8")) text += chunk as string;
  assert.equal(text, `${number}\n`);
  assert.equal((await session.exit).code, 0);
  const info = await runtime.remove(sandbox.id);
  assert.equal(info.status, "stopped");
}

async function measure(): Promise<Record<"descriptors" | "processes" | "files" | "sockets" | "heapMib", number>> {
  for (let i = 0; i < 4; i += 1) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    processes: (await processesOf([home.path])).length,
    files: readdirSync(home.paths.sandboxesPath, { recursive: true }).length,
    sockets: readdirSync(home.paths.socketsPath).length,
    heapMib: process.memoryUsage().heapUsed / MIB,
  };
}

test("a hundred rounds of create, exec and remove leave as much as ten", async () => {
  const outside = process.env.SBX_HOME;
  process.env.SBX_HOME = home.path; // where the runtime looks
  try {
    await using runtime = await openLocalRuntime(DEFAULT_SETTINGS);
    for (let i = 0; i < WARM_UP_ROUNDS; i += 1) await round(runtime, i);
    await untilClean(home);
    const before = await measure();
    for (let i = WARM_UP_ROUNDS; i < ROUNDS; i += 1) await round(runtime, i);
    await untilClean(home);
    const after = await measure();
    assert.ok(
      after.descriptors <= before.descriptors + 2,
      `descriptors: ${before.descriptors} to ${after.descriptors}`,
    );
    assert.equal(after.processes, 0);
    assert.equal(after.files, 0);
    assert.equal(after.sockets, 0);
    assert.ok(after.heapMib < before.heapMib + 10, `heap: ${before.heapMib} to ${after.heapMib} MiB`);
    const known = await runtime.list();
    assert.equal(known.length, ROUNDS, "the records stay, for a day and up to a hundred");
  } finally {
    if (outside === undefined) delete process.env.SBX_HOME;
    else process.env.SBX_HOME = outside;
  }
});
