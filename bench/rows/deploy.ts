/**
 * A small app, from the command until its new revision has answered a request: `sbx deploy DIRECTORY APP --prod` as a
 * shell starts it, and then the first request through the gateway of an `sbx serve` that runs already.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { timeProgram } from "../programs.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { askApp, endInstances, ENTRYPOINT, serverAnswering } from "../serve/bench-app.ts";
import { openServed } from "../serve/served.ts";
import { timed } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const APP = "bench-deploy";
const REACH_MS = 3000;

export const deployRow: Row = {
  id: "deploy",
  title: "a deployment of a small app",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using served = await openServed(bench, { gateway: true });
    const { apps } = bench.runtime;
    await apps.remove(APP).catch(() => undefined); // of a run that was broken off
    const directory = path.join(bench.scratchPath, "app");
    mkdirSync(directory, { recursive: true });
    const [all, commands]: [number[], number[]] = [[], []];
    try {
      for (let round = -1; round < bench.counts.rounds; round++) {
        const answer = `revision ${round}\n`;
        writeFileSync(path.join(directory, ENTRYPOINT), serverAnswering(answer));
        // The server is none that the command would find by itself.
        const argv = bench.sbx("deploy", directory, APP, "--prod", "--entrypoint", ENTRYPOINT, "--no-serve");
        const command = await timeProgram(argv);
        let said = "";
        const asked = await timed(async () => (said = await askApp(APP, served)));
        if (said !== answer) throw new Error(`the app answers ${JSON.stringify(said)}, which is another revision's`);
        await endInstances(bench);
        if (round < 0) continue;
        commands.push(command);
        all.push(command + asked);
      }
    } finally {
      await apps.remove(APP).catch(() => undefined); // what failed before is said
    }
    return [
      outcome({
        ...{ id: "deploy", what: "`sbx deploy` of a small app, command to answered request", unit: "ms", samples: all },
        beside: { what: "the command alone", samples: commands },
        ...{ reach: "≤ 3 s", isReached: (median) => median <= REACH_MS },
      }),
    ];
  },
};
