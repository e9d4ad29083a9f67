/** The meter of one sandbox, of a process that stands for its machine. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { identifyProcess } from "../../../src/host/process-identity.ts";
import { HOUR_MS } from "../../../src/metering/amounts.ts";
import { readMeterFile } from "../../../src/store/metering/meter-file.ts";
import type { SandboxSample } from "../../../src/store/metering/meter-store.ts";
import { SandboxMeter, type SandboxMeterOptions } from "../../../src/supervisor/metering/sandbox-meter.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

/** A leader that does nothing, with a child that burns: as bubblewrap and QEMU. */
function burn(t: TestContext): ChildProcess {
  const child = spawn("bash", ["-c", "while :; do :; done & echo $!; wait"], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function burning(t: TestContext, options: Partial<SandboxMeterOptions> = {}) {
  const machine = burn(t);
  const [said] = (await once(machine.stdout ?? machine, "data")) as [Buffer];
  const burner = Number(said.toString());
  t.after(() => {
    if (identifyProcess(burner) !== null) process.kill(burner, "SIGKILL");
  });
  const directory = temporaryDirectory(t);
  const samples: SandboxSample[] = [];
  const meter = new SandboxMeter({
    subject: { id: "a", name: "web", labels: {}, app: null },
    ...{ directory, vmPid: machine.pid ?? 0, memoryBytes: 1e9, budget: [] },
    traffic: () => ({ sentBytes: 3, receivedBytes: 4 }),
    settle: (sample) => samples.push(sample),
    onExcess: () => assert.fail("it has no budget"),
    ...options,
  });
  meter.start();
  t.after(() => meter.end());
  return { meter, burner, directory, samples, machine };
}

test("a machine's processes are metered, and their time is kept when they are gone", async (t) => {
  const { meter, burner, directory, samples, machine } = await burning(t);
  await sleep(700);
  const [before, metered, after] = [cpuOf(burner), meter.sample(), cpuOf(burner)];
  assert.ok(
    before > 0 && metered.cpuMs >= before && metered.cpuMs <= after + 50,
    `${before} ${metered.cpuMs} ${after}`,
  );
  assert.deepEqual(readMeterFile(directory)?.counters, metered);
  process.kill(burner, "SIGKILL");
  machine.kill("SIGKILL");
  await once(machine, "close");
  meter.end();
  const [last, ...more] = samples;
  assert.deepEqual(more, []);
  assert.ok((last?.counters.cpuMs ?? 0) >= metered.cpuMs);
  assert.ok((last?.counters.memoryByteHours ?? 0) >= (1e9 * 700) / HOUR_MS);
  assert.deepEqual([last?.counters.sentBytes, last?.counters.receivedBytes], [3, 4]);
  meter.end();
  assert.equal(samples.length, 1, "the end is counted once");
});

test("a budget that is used up is told once, by what it was", async (t) => {
  const excess: string[] = [];
  const { meter } = await burning(t, { budget: [{ kind: "cpu", ms: 200 }], onExcess: (detail) => excess.push(detail) });
  while (excess.length === 0) await sleep(20);
  await sleep(600);
  meter.end();
  assert.equal(excess.length, 1);
  assert.match(excess[0] ?? "", /^it has used \d\.\d s of processor time; its limit is 0\.2 s$/);
});
