/** Directories of the host: a copy that is made with the sandbox, and files of a live mount. */
import { mkdirSync, writeFileSync } from "node:fs";
import { randomFillSync } from "node:crypto";
import path from "node:path";
import { megabytesPerSecond, timeProgram } from "../programs.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { inTurns } from "../statistics.ts";
import { execQuietly, type Bench } from "../workbench.ts";
import { makeSmallFiles } from "./transfer.ts";

const REACH_TIMES = 3;
const BULK_BYTES = 64 * 1024 ** 2;
const READ_FILES = 500;

export const createCopyRow: Row = {
  id: "folders-copy",
  title: "a sandbox with a copy of 5,000 small files",
  async measure(bench: Bench): Promise<Outcome[]> {
    const ssh = await bench.ssh();
    const source = makeSmallFiles(path.join(bench.scratchPath, "project"));
    const [own, scp] = await inTurns(
      bench.counts.copyRounds,
      1,
      // The sandbox is made and removed within the time.
      () => timeProgram(bench.sbx("run", "--quiet", "--copy", source, "--", "true")),
      async () => {
        await timeProgram(ssh.ssh("rm -rf project"));
        return timeProgram(ssh.scp(source, ssh.remote("project")));
      },
    );
    return [
      outcome({
        id: "folders-copy",
        what: "`sbx run --copy TREE -- true`, 5,000 files of 1 kB",
        unit: "ms",
        samples: own,
        beside: { what: "`scp -r` into a running machine", samples: scp },
        reach: `≥ ${REACH_TIMES} × scp -r`,
        isReached: (_median, ratio) => ratio >= REACH_TIMES,
      }),
    ];
  },
};

/** Beside the guest's own disk: what a mount costs. */
export const mountRow: Row = {
  id: "folders-mount",
  title: "reads and writes of a live mount",
  async measure(bench: Bench): Promise<Outcome[]> {
    const hostPath = path.join(bench.scratchPath, "mounted");
    mkdirSync(path.join(hostPath, "many"), { recursive: true });
    for (let index = 0; index < READ_FILES; index++) {
      writeFileSync(path.join(hostPath, "many", String(index)), randomFillSync(Buffer.alloc(1024)));
    }
    const mounts = [{ hostPath, guestPath: "/mnt/bench", access: "read-write" }] as const;
    await using sandbox = await bench.runtime.create({ lifetime: { kind: "session" }, mounts });
    await execQuietly(sandbox, ["sh", "-c", "mkdir own && cp -r /mnt/bench/many own/"]);
    const timed = async (line: string): Promise<number> => {
      await execQuietly(sandbox, ["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], "root");
      const start = performance.now();
      await execQuietly(sandbox, ["sh", "-c", line]);
      return performance.now() - start;
    };
    const rate = async (line: string): Promise<number> => megabytesPerSecond(BULK_BYTES, await timed(line));
    const write = (directory: string): Promise<number> =>
      rate(`dd if=/dev/zero of=${directory}/bulk bs=1M count=${BULK_BYTES / 1024 ** 2} conv=fsync 2>/dev/null`);
    const read = (directory: string): Promise<number> => rate(`dd if=${directory}/bulk of=/dev/null bs=1M 2>/dev/null`);
    const many = (directory: string): Promise<number> => timed(`cat ${directory}/many/* > /dev/null`);
    const row = async (
      id: string,
      what: string,
      unit: "MB/s" | "ms",
      measure: (directory: string) => Promise<number>,
    ): Promise<Outcome> => {
      const [samples, disk] = await inTurns(
        bench.counts.copyRounds,
        1,
        () => measure("/mnt/bench"),
        () => measure("own"),
      );
      return outcome({ id, what, unit, samples, beside: { what: "on the guest's own disk", samples: disk } });
    };
    return [
      await row("folders-mount-write", "64 MiB written to a `:rw` mount and synced", "MB/s", write),
      await row("folders-mount-read", "64 MiB read from a mount, nothing cached", "MB/s", read),
      await row("folders-mount-files", `${READ_FILES} files of 1 kB read from a mount, nothing cached`, "ms", many),
    ];
  },
};
