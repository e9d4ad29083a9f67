/** From nothing to the first command done, warm, inside one process; beside a cold boot by QEMU alone. */
import { outcome, type Outcome, type Row } from "../row.ts";
import { preparePlainMachine } from "../plain-machine.ts";
import { repeat, timed } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const REACH_MS = 250;
const REACH_TIMES = 7;

export const createRow: Row = {
  id: "create",
  title: "create to the first exec'd `true` done",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { rounds } = bench.counts;
    const warm = await repeat(rounds, 2, () => createAndExec(bench));
    const cold = await repeat(rounds, 1, () => bootAndExec(bench));
    return [
      outcome({
        id: "create",
        what: "create to first `true` done, one process",
        unit: "ms",
        samples: warm,
        beside: { what: "cold boot by QEMU alone, same kernel and disk", samples: cold },
        reach: `≤ ${REACH_MS} ms, ≥ ${REACH_TIMES} × faster`,
        isReached: (median, ratio) => median <= REACH_MS && ratio >= REACH_TIMES,
      }),
    ];
  },
};

async function createAndExec(bench: Bench): Promise<number> {
  const start = performance.now();
  const sandbox = await openSandbox(bench);
  await execQuietly(sandbox, ["true"]);
  const took = performance.now() - start;
  await sandbox[Symbol.asyncDispose]();
  await bench.runtime.remove(sandbox.id);
  return took;
}

async function bootAndExec(bench: Bench): Promise<number> {
  const prepared = await preparePlainMachine(bench);
  let machine: Awaited<ReturnType<typeof prepared.boot>> | undefined;
  const took = await timed(async () => {
    machine = await prepared.boot();
    await machine.run("true");
  });
  await machine?.[Symbol.asyncDispose]();
  return took;
}
