/**
 * What it costs to meter a sandbox: a process that meters a real machine, as its supervisor does, beside the same one
 * that does not. Processes of their own, as the rest of what a supervisor does would be more than that.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { outcome, type Outcome, type Row } from "../row.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const PROGRAM = path.join(import.meta.dirname, "../metering/meter-process.ts");
/** Of each kind, at once. */
const PROCESSES = 3;
/** So long that what was used is written into the database once, as in every minute. */
const WINDOW_MS = 64_000;
const REACH_PERCENT = 0.5;

type What = "meter" | "budget" | "nothing";

export const meteringRow: Row = {
  id: "metering",
  title: "metering of a sandbox",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using sandbox = await openSandbox(bench);
    await execQuietly(sandbox, ["true"]);
    const { vmPid } = await bench.runtime.get(sandbox.id);
    if (vmPid === null) throw new Error(`sandbox ${sandbox.id} has no machine`);
    const shares = async (what: What): Promise<number[]> =>
      Promise.all(Array.from({ length: PROCESSES }, async (_, at) => shareOf(bench, vmPid, what, at)));
    const [meter, budget, nothing] = await Promise.all([shares("meter"), shares("budget"), shares("nothing")]);
    const common = {
      ...{ unit: "% of a core" as const, reach: `≤ ${REACH_PERCENT} % of a core more` },
      beside: { what: "the same process, which does not meter", samples: nothing },
      // The ratio is that of `beside` to it.
      isReached: (median: number, ratio: number) => median - ratio * median <= REACH_PERCENT,
    };
    return [
      outcome({ ...common, id: "metering", what: "metering of a sandbox", samples: meter }),
      outcome({ ...common, id: "metering-budget", what: "metering of a sandbox with a budget", samples: budget }),
    ];
  },
};

/** Of one core. */
async function shareOf(bench: Bench, vmPid: number, what: What, at: number): Promise<number> {
  const directory = path.join(bench.scratchPath, `${what}-${at}`);
  mkdirSync(directory);
  const argv = [PROGRAM, String(vmPid), directory, String(WINDOW_MS), what];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, "exit") as Promise<[number | null]>]);
  if (code !== 0) throw new Error(`the process that meters ended with ${code ?? "a signal"}`);
  return (Number(said) / WINDOW_MS) * 100;
}
