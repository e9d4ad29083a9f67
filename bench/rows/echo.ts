/** Keypress to screen on a terminal of a sandbox, beside the same program on a PTY of this machine. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { outcome, type Outcome, type Row } from "../row.ts";
import { openSandbox, type Bench } from "../workbench.ts";

const REACH_MS = 10;
/** Keys for each round of the other rows: one takes a few milliseconds. */
const KEYS_A_ROUND = 20;

/** The kernel echoes, and a line editor does. */
const PROGRAMS = {
  cat: ["sh", "-c", "echo ready; exec cat"],
  bash: ["bash", "--norc", "-c", "echo ready; exec bash --norc"],
};

async function typeKeys(count: number, commands: string[][]): Promise<number[][]> {
  const script = path.join(import.meta.dirname, "..", "type_keys.py");
  const argv = [script, String(count), JSON.stringify(commands)];
  const { stdout } = await promisify(execFile)("python3", argv, { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as number[][];
}

export const echoRow: Row = {
  id: "echo",
  title: "keypress to screen",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using sandbox = await openSandbox(bench);
    const count = bench.counts.rounds * KEYS_A_ROUND;
    const outcomes: Outcome[] = [];
    for (const [name, argv] of Object.entries(PROGRAMS)) {
      const own = bench.sbx("exec", "-t", sandbox.id, "--", ...argv);
      const ssh = bench.sbx("ssh", "-t", sandbox.id, "--", ...argv);
      const [local = [], exec = [], overSsh = []] = await typeKeys(count, [argv, own, ssh]);
      outcomes.push(...describe(`echo-${name}`, `keypress to screen, ${name}, \`exec -t\``, exec, local));
      outcomes.push(...describe(`echo-${name}-ssh`, `keypress to screen, ${name}, \`sbx ssh\``, overSsh, local));
    }
    return outcomes;
  },
};

function describe(id: string, what: string, samples: number[], local: number[]): Outcome[] {
  const beside = "the same on a PTY of this machine";
  const most = median(local) + REACH_MS;
  return [
    outcome({
      ...{ id, what: `${what}, p50`, unit: "ms", samples },
      beside: { what: beside, samples: local },
      reach: `≤ ${REACH_MS} ms more`,
      isReached: (reached) => reached <= most,
    }),
    outcome({
      ...{ id: `${id}-p99`, what: `${what}, p99`, unit: "ms", samples: [percentile(samples, 0.99)] },
      beside: { what: beside, samples: [percentile(local, 0.99)] },
    }),
  ];
}

function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
