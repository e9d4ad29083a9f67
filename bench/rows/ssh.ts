/** SSH into a sandbox beside an sshd in a machine of the same kind: a new connection each time, as people use it. */
import { randomFillSync } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { megabytesPerSecond, timeProgram } from "../programs.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { inTurns } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const LARGE_BYTES = 200e6;
const SMALL_FILES = 2_000;
const SMALL_FILE_BYTES = 1_024;
const CONNECT_REACH = 0.5;
const COPY_REACH = 2;

/** How OpenSSH is called for sandboxes. */
interface Client {
  ssh: string[];
  scp: string[];
}

async function client(bench: Bench): Promise<Client> {
  const file = path.join(bench.scratchPath, "ssh_config");
  await timeProgram(bench.sbx("ssh-config", "--quiet", "--yes", "--file", file));
  return { ssh: ["ssh", "-F", file], scp: ["scp", "-q", "-r", "-F", file] };
}

export const sshConnectRow: Row = {
  id: "ssh",
  title: "a new SSH connection",
  async measure(bench: Bench): Promise<Outcome[]> {
    const machine = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const { ssh } = await client(bench);
    const [samples, other] = await inTurns(
      bench.counts.rounds,
      2,
      () => timeProgram([...ssh, `${sandbox.id}.sbx`, "true"]),
      () => timeProgram(machine.directSsh("true")),
    );
    return [
      outcome({
        id: "ssh",
        what: "`ssh X.sbx true`, whole process, a new connection",
        unit: "ms",
        samples,
        beside: { what: "`ssh HOST true` to an sshd in the same machine", samples: other },
        reach: `≤ ${CONNECT_REACH} × that sshd`,
        isReached: (_median, ratio) => 1 / ratio <= CONNECT_REACH,
      }),
    ];
  },
};

export const sshLargeRow: Row = {
  id: "ssh-copy",
  title: "scp of one 200 MB file each way",
  async measure(bench: Bench): Promise<Outcome[]> {
    const machine = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const { scp } = await client(bench);
    const source = path.join(bench.scratchPath, "large");
    const back = path.join(bench.scratchPath, "back");
    writeFileSync(source, randomFillSync(Buffer.alloc(LARGE_BYTES)));
    const rate = async (argv: string[]): Promise<number> => megabytesPerSecond(LARGE_BYTES, await timeProgram(argv));
    const { copyRounds } = bench.counts;
    const [up, otherUp] = await inTurns(
      copyRounds,
      1,
      () => rate([...scp, source, `${sandbox.id}.sbx:large`]),
      () => rate(machine.directScp(source, machine.remote("large"))),
    );
    const [down, otherDown] = await inTurns(
      copyRounds,
      1,
      () => rate([...scp, `${sandbox.id}.sbx:large`, back]),
      () => rate(machine.directScp(machine.remote("large"), back)),
    );
    return [
      copyOutcome("ssh-copy-up", "`scp` of 200 MB into a sandbox", "MB/s", up, otherUp),
      copyOutcome("ssh-copy-down", "`scp` of 200 MB out of a sandbox", "MB/s", down, otherDown),
    ];
  },
};

export const sshSmallRow: Row = {
  id: "ssh-files",
  title: "2,000 small files by SFTP each way",
  async measure(bench: Bench): Promise<Outcome[]> {
    const machine = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const { scp } = await client(bench);
    const source = path.join(bench.scratchPath, "sftp-files");
    const back = path.join(bench.scratchPath, "sftp-back");
    makeFiles(source);
    const clear = async (): Promise<void> => {
      await execQuietly(sandbox, ["rm", "-rf", "sftp-files"]);
      await timeProgram(machine.ssh("rm -rf sftp-files"));
    };
    const { copyRounds } = bench.counts;
    const [up, otherUp] = await inTurns(
      copyRounds,
      1,
      async () => {
        await clear();
        return timeProgram([...scp, source, `${sandbox.id}.sbx:`]);
      },
      () => timeProgram(machine.directScp(source, machine.remote(""))),
    );
    const fetch = async (argv: string[]): Promise<number> => {
      rmSync(back, { recursive: true, force: true });
      const took = await timeProgram(argv);
      if (readdirSync(back).length !== SMALL_FILES) throw new Error("not all files came back");
      return took;
    };
    const [down, otherDown] = await inTurns(
      copyRounds,
      1,
      () => fetch([...scp, `${sandbox.id}.sbx:sftp-files`, back]),
      () => fetch(machine.directScp(machine.remote("sftp-files"), back)),
    );
    return [
      copyOutcome("ssh-files-up", "`scp -r` of 2,000 files of 1 kB into a sandbox", "ms", up, otherUp),
      copyOutcome("ssh-files-down", "`scp -r` of 2,000 files of 1 kB out of a sandbox", "ms", down, otherDown),
    ];
  },
};

function copyOutcome(id: string, what: string, unit: "ms" | "MB/s", samples: number[], other: number[]): Outcome {
  return outcome({
    ...{ id, what, unit, samples, reach: `≥ ${COPY_REACH} × that sshd` },
    beside: { what: "the same with an sshd in the same machine", samples: other },
    isReached: (_median, ratio) => ratio >= COPY_REACH,
  });
}

function makeFiles(directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (let index = 0; index < SMALL_FILES; index++) {
    writeFileSync(path.join(directory, `file-${index}`), randomFillSync(Buffer.alloc(SMALL_FILE_BYTES)));
  }
}
