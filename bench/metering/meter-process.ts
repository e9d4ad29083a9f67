/**
 * A process that does nothing but meter a machine as its supervisor does, or nothing at all; says how much processor time
 * it has used in a window of time, `ms`.
 *
 *   node meter-process.ts VM_PID DIRECTORY WINDOW_MS meter|budget|nothing
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MeterStore } from "../../src/store/metering/meter-store.ts";
import { openUsageDatabase } from "../../src/store/metering/usage-database.ts";
import { SandboxMeter } from "../../src/supervisor/metering/sandbox-meter.ts";

/** For the start of the program to be over, `ms`. */
const SETTLE_MS = 3000;

const [vmPid = "", directory = "", windowMs = "", what = ""] = process.argv.slice(2);
const meter = new SandboxMeter({
  ...{ directory, vmPid: Number(vmPid), memoryBytes: 768 * 1024 ** 2 },
  // Never used up.
  budget: what === "budget" ? [{ kind: "cpu", ms: Number.MAX_SAFE_INTEGER }] : [],
  subject: { id: "sbx_loc_00000000000000000000", name: "bench", labels: { row: "metering" }, app: null },
  traffic: () => ({ sentBytes: 0, receivedBytes: 0 }),
  settle(sample) {
    using usage = openUsageDatabase(path.join(directory, "usage.db"));
    new MeterStore(usage).settle(sample);
  },
  onExcess: () => undefined,
});
if (what !== "nothing") meter.start();
await sleep(SETTLE_MS);
const before = process.cpuUsage();
await sleep(Number(windowMs));
const { user, system } = process.cpuUsage(before);
process.stdout.write(`${(user + system) / 1000}\n`);
meter.end();
