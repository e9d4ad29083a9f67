/** Copies of a running machine with memory in use: how long the source stands still, and when the copy does its first work. */
import { outcome, type Outcome, type Row } from "../row.ts";
import { repeat } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const PAUSE_REACH_MS = 150;
const READY_REACH_MS = 700;
/** Random bytes in the guest's memory, which no page of a template has. */
const USED_BYTES = 300e6;

export const forkRow: Row = {
  id: "fork",
  title: "fork of a machine with 300 MB in use",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { rounds } = bench.counts;
    await using source = await openSandbox(bench);
    await execQuietly(source, ["bash", "-c", `head -c ${USED_BYTES} /dev/urandom > /dev/shm/used`]);
    const paused: number[] = [];
    const ready = await repeat(rounds, 1, async () => {
      const start = performance.now();
      const report = await bench.runtime.fork(source.id, { count: 1, lifetimeMs: 600_000 });
      const [info] = report.sandboxes;
      if (info === undefined) throw new Error("there is no copy");
      const copy = await bench.runtime.connect(info.id);
      await execQuietly(copy, ["true"]);
      const took = performance.now() - start;
      paused.push(report.pausedMs);
      await copy[Symbol.asyncDispose]();
      await bench.runtime.remove(info.id);
      return took;
    });
    return [
      outcome({
        id: "fork-pause",
        what: "how long the source's processes stand still",
        unit: "ms",
        samples: paused.slice(-rounds),
        reach: `≤ ${PAUSE_REACH_MS} ms`,
        isReached: (median) => median <= PAUSE_REACH_MS,
      }),
      outcome({
        id: "fork-ready",
        what: "fork to the copy's first `true` done",
        unit: "ms",
        samples: ready,
        reach: `≤ ${READY_REACH_MS} ms`,
        isReached: (median) => median <= READY_REACH_MS,
      }),
    ];
  },
};
