/** Commands on a server of this machine (`SBX_CONTEXT`), whole processes, beside the same commands without one. */
import path from "node:path";
import { outcome, type Outcome, type Row } from "../row.ts";
import { megabytesPerSecond, timeProgram, type RunOptions } from "../programs.ts";
import { openServed } from "../serve/served.ts";
import { inTurns } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const OUTPUT_BYTES = 64e6;
const OUTPUT_FILE = "/tmp/bench-output";

export const serveRemoteRow: Row = {
  id: "serve-remote",
  title: "commands on a server",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using served = await openServed(bench);
    const env = { ...process.env, SBX_CONTEXT: served.url, SBX_TOKEN: served.makeToken() };
    await using sandbox = await openSandbox(bench);
    await execQuietly(sandbox, ["sh", "-c", `head -c ${OUTPUT_BYTES} /dev/urandom > ${OUTPUT_FILE}`]);
    const both = async (args: string[], options: RunOptions = {}): Promise<[number[], number[]]> =>
      inTurns(
        bench.counts.rounds,
        2,
        () => timeProgram(bench.sbx(...args), { ...options, env }),
        () => timeProgram(bench.sbx(...args), options),
      );
    const command = (id: string, what: string, [samples, own]: [number[], number[]]): Outcome =>
      outcome({ id, what, unit: "ms", samples, beside: { what: "the same without a server", samples: own } });
    const rates = (times: number[]): number[] => times.map((ms) => megabytesPerSecond(OUTPUT_BYTES, ms));
    const list = await both(["list"]);
    const exec = await both(["exec", sandbox.id, "--", "true"]);
    const outputPath = path.join(bench.scratchPath, "output");
    const [remote, own] = await both(["exec", sandbox.id, "--", "cat", OUTPUT_FILE], { outputPath });
    return [
      command("serve-remote-list", "`sbx list` on a server, whole process", list),
      command("serve-remote-exec", "`sbx exec X -- true` on a server, whole process", exec),
      outcome({
        ...{ id: "serve-remote-stdout", what: "`sbx exec X -- cat FILE > file` on a server, 64 MB", unit: "MB/s" },
        samples: rates(remote),
        beside: { what: "the same without a server", samples: rates(own) },
      }),
    ];
  },
};
