/** Bytes out of and into the guest: standard output to a file, one large file each way, many small files each way. */
import { createHash, randomFillSync } from "node:crypto";
import { createReadStream, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { megabytesPerSecond, timeProgram } from "../programs.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { inTurns } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const OUTPUT_BYTES = 64e6;
const LARGE_BYTES = 200e6;
const SMALL_FILES = 5_000;
const SMALL_FILE_BYTES = 1_024;
const DIRECTORIES = 50;
const REACH_MBPS = 100;
const REACH_TIMES = 3;
const REACH = `≥ ${REACH_MBPS} MB/s`;
const isFastEnough = (median: number): boolean => median >= REACH_MBPS;

export const outputRow: Row = {
  id: "stdout",
  title: "guest stdout through exec to a file",
  async measure(bench: Bench): Promise<Outcome[]> {
    const ssh = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const file = "/tmp/bench-output";
    const make = `head -c ${OUTPUT_BYTES} /dev/urandom > ${file}`;
    await execQuietly(sandbox, ["sh", "-c", make]);
    await timeProgram(ssh.ssh(make));
    const outputPath = path.join(bench.scratchPath, "output");
    const rate = async (argv: string[]): Promise<number> =>
      megabytesPerSecond(OUTPUT_BYTES, await timeProgram(argv, { outputPath }));
    const [samples, other] = await inTurns(
      bench.counts.rounds,
      1,
      () => rate(bench.sbx("exec", sandbox.id, "--", "cat", file)),
      () => rate(ssh.ssh(`cat ${file}`)),
    );
    return [
      outcome({
        id: "stdout",
        what: "`sbx exec X -- cat FILE > file`, 64 MB",
        unit: "MB/s",
        samples,
        beside: { what: "`ssh HOST cat FILE > file`", samples: other },
        reach: REACH,
        isReached: isFastEnough,
      }),
    ];
  },
};

export const largeCopyRow: Row = {
  id: "copy",
  title: "copy of one 200 MB file each way",
  async measure(bench: Bench): Promise<Outcome[]> {
    const ssh = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const source = path.join(bench.scratchPath, "large");
    writeFileSync(source, randomFillSync(Buffer.alloc(LARGE_BYTES)));
    const back = path.join(bench.scratchPath, "back");
    const rate = async (argv: string[]): Promise<number> => megabytesPerSecond(LARGE_BYTES, await timeProgram(argv));
    const { copyRounds } = bench.counts;
    const [up, scpUp] = await inTurns(
      copyRounds,
      1,
      () => rate(bench.sbx("copy", "--quiet", source, `${sandbox.id}:large`)),
      () => rate(ssh.scp(source, ssh.remote("large"))),
    );
    const [down, scpDown] = await inTurns(
      copyRounds,
      1,
      () => rate(bench.sbx("copy", "--quiet", `${sandbox.id}:large`, back)),
      () => rate(ssh.scp(ssh.remote("large"), `${back}-scp`)),
    );
    if ((await hashOf(source)) !== (await hashOf(back))) throw new Error("what came back is not what was sent");
    const row = (id: string, what: string, samples: number[], beside: string, other: number[]): Outcome =>
      outcome({
        ...{ id, what, samples, reach: REACH, isReached: isFastEnough },
        unit: "MB/s",
        beside: { what: beside, samples: other },
      });
    return [
      row("copy-up", "`sbx copy` of 200 MB into the guest", up, "`scp` into the guest", scpUp),
      row("copy-down", "`sbx copy` of 200 MB out of the guest", down, "`scp` out of the guest", scpDown),
    ];
  },
};

export const smallCopyRow: Row = {
  id: "files",
  title: "copy of 5,000 small files each way",
  async measure(bench: Bench): Promise<Outcome[]> {
    const ssh = await bench.ssh();
    await using sandbox = await openSandbox(bench);
    const source = makeSmallFiles(path.join(bench.scratchPath, "small"));
    const parent = path.dirname(source);
    const { copyRounds } = bench.counts;
    const clear = async (): Promise<void> => {
      await execQuietly(sandbox, ["rm", "-rf", "small"]);
      await timeProgram(ssh.ssh("rm -rf small"));
    };
    const [up, tarUp] = await inTurns(
      copyRounds,
      1,
      async () => {
        await clear();
        return timeProgram(bench.sbx("copy", "--quiet", source, `${sandbox.id}:`));
      },
      () => shell(`tar -C ${parent} -cf - small | ${ssh.shellCommand} tar -xf -`),
    );
    const back = path.join(bench.scratchPath, "small-back");
    const backTar = path.join(bench.scratchPath, "small-tar");
    const [down, tarDown] = await inTurns(
      copyRounds,
      1,
      async () => {
        rmSync(back, { recursive: true, force: true });
        return timeProgram(bench.sbx("copy", "--quiet", `${sandbox.id}:small`, back));
      },
      async () => {
        rmSync(backTar, { recursive: true, force: true });
        mkdirSync(backTar);
        return shell(`${ssh.shellCommand} tar -cf - small | tar -C ${backTar} -xf -`);
      },
    );
    const arrived = readdirSync(back, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    if (arrived.length !== SMALL_FILES) throw new Error(`${arrived.length} of ${SMALL_FILES} files came back`);
    const row = (id: string, what: string, samples: number[], other: number[]): Outcome =>
      outcome({
        ...{ id, what, samples, reach: `≥ ${REACH_TIMES} × tar over ssh` },
        unit: "ms",
        beside: { what: "`tar` over the same ssh connection", samples: other },
        isReached: (_median, ratio) => ratio >= REACH_TIMES,
      });
    return [
      row("files-up", "`sbx copy` of 5,000 files of 1 kB into the guest", up, tarUp),
      row("files-down", "`sbx copy` of 5,000 files of 1 kB out of the guest", down, tarDown),
    ];
  },
};

/** 5,000 files in 50 directories, each with content of its own. */
export function makeSmallFiles(directory: string): string {
  for (let index = 0; index < SMALL_FILES; index++) {
    const parent = path.join(directory, `directory-${index % DIRECTORIES}`);
    mkdirSync(parent, { recursive: true });
    writeFileSync(path.join(parent, `file-${index}`), randomFillSync(Buffer.alloc(SMALL_FILE_BYTES)));
  }
  return directory;
}

async function shell(line: string): Promise<number> {
  return timeProgram(["bash", "-o", "pipefail", "-c", line]);
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
