/** Whole processes, as a shell sees them, and the round trip inside one process. */
import { outcome, type Outcome, type Row } from "../row.ts";
import { timeProgram } from "../programs.ts";
import { inTurns, timed } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const RUN_REACH_MS = 600;
const EXEC_REACH_MS = 200;
const ROUND_TRIP_REACH_MS = 25;
const VERSION_REACH_TIMES = 2.5;

const NODE_ALONE = [process.execPath, "-e", "0"];

export const runRow: Row = {
  id: "run",
  title: "sbx run -- true, whole process",
  async measure(bench: Bench): Promise<Outcome[]> {
    const [samples, node] = await inTurns(
      bench.counts.rounds,
      2,
      () => timeProgram(bench.sbx("run", "--", "true")),
      () => timeProgram(NODE_ALONE),
    );
    return [
      outcome({
        id: "run",
        what: "`sbx run -- true`, whole process",
        unit: "ms",
        samples,
        beside: { what: "`node -e 0`, whole process", samples: node },
        reach: `≤ ${RUN_REACH_MS} ms`,
        isReached: (median) => median <= RUN_REACH_MS,
      }),
    ];
  },
};

export const execRow: Row = {
  id: "exec",
  title: "exec of true, whole process and round trip",
  async measure(bench: Bench): Promise<Outcome[]> {
    const ssh = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const overSsh = (): Promise<number> => timeProgram(ssh.ssh("true"));
    const { rounds } = bench.counts;
    const [processes, sshA] = await inTurns(
      rounds,
      3,
      () => timeProgram(bench.sbx("exec", sandbox.id, "--", "true")),
      overSsh,
    );
    const [roundTrips, sshB] = await inTurns(rounds, 3, () => timed(() => execQuietly(sandbox, ["true"])), overSsh);
    const beside = "`ssh HOST true`, multiplexed connection";
    return [
      outcome({
        id: "exec-process",
        what: "`sbx exec X -- true`, whole process",
        unit: "ms",
        samples: processes,
        beside: { what: beside, samples: sshA },
        reach: `≤ ${EXEC_REACH_MS} ms`,
        isReached: (median) => median <= EXEC_REACH_MS,
      }),
      outcome({
        id: "exec-round-trip",
        what: "exec round trip, one process",
        unit: "ms",
        samples: roundTrips,
        beside: { what: beside, samples: sshB },
        reach: `≤ ${ROUND_TRIP_REACH_MS} ms`,
        isReached: (median) => median <= ROUND_TRIP_REACH_MS,
      }),
    ];
  },
};

export const versionRow: Row = {
  id: "version",
  title: "sbx --version",
  async measure(bench: Bench): Promise<Outcome[]> {
    const [samples, node] = await inTurns(
      bench.counts.rounds,
      2,
      () => timeProgram(bench.sbx("--version")),
      () => timeProgram(NODE_ALONE),
    );
    return [
      outcome({
        id: "version",
        what: "`sbx --version`, whole process",
        unit: "ms",
        samples,
        beside: { what: "`node -e 0`, whole process", samples: node },
        reach: `≤ ${VERSION_REACH_TIMES} × \`node -e 0\``,
        isReached: (_median, ratio) => 1 / ratio <= VERSION_REACH_TIMES,
      }),
    ];
  },
};
