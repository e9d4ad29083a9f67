/**
 * An app that nobody used for a while: from a request until the first byte of its answer, through the gateway with TLS,
 * with a machine that goes on from the app's own memory. Beside it the start of the same program in a machine that runs
 * already. And what the app then takes, through the gateway and through the URL of `sbx expose`.
 */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { answersHttp } from "../../src/runtime/local/apps/health.ts";
import { RESULT, startHostClient, type PeerTarget } from "../egress/peer.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { askApp, endInstances, ENTRYPOINT, instancesOfApps, serverAnswering } from "../serve/bench-app.ts";
import { openServed } from "../serve/served.ts";
import { inTurns, timed } from "../statistics.ts";
import { openSandbox, type Bench } from "../workbench.ts";
import { untilServed } from "./expose.ts";

const APP = "bench-app";
const SERVER = serverAnswering("hello\n");
const APP_PORT = 8000;
const CONNECTIONS = 16;
const SECONDS_A_ROUND = 1;
const WARMUPS = 2;

export const appWakeRow: Row = {
  id: "app-wake",
  title: "an app that scales to zero",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { programPath } = await bench.peer();
    await using served = await openServed(bench, { gateway: true });
    await deploy(bench);
    try {
      const ask = async (): Promise<string> => askApp(APP, served);
      await ask();
      await untilKept(bench);
      const wakes: number[] = [];
      for (let round = -1; round < bench.counts.rounds; round++) {
        await endInstances(bench);
        const took = await timed(ask);
        if (round >= 0) wakes.push(took);
      }
      const starts = await coldStarts(bench);
      const [id = ""] = await instancesOfApps(bench);
      const own = new URL((await bench.runtime.exposures.add(id, { guestPort: APP_PORT })).url);
      const exposed: PeerTarget = { address: `127.0.0.1:${own.port}`, host: own.host, plain: true, path: "/" };
      const host = `${APP}.localhost`;
      const gateway: PeerTarget = {
        ...{ address: `127.0.0.1:${served.gatewayPort}`, host: `${host}:${served.gatewayPort}`, name: host, path: "/" },
        ca: served.authorityPath,
      };
      await untilServed(exposed);
      await using client = startHostClient(programPath);
      const late: Record<"gateway" | "exposed", number[]> = { gateway: [], exposed: [] };
      const load = (name: keyof typeof late, target: PeerTarget) => async (): Promise<number> => {
        const job = { kind: "load" as const, connections: CONNECTIONS, seconds: SECONDS_A_ROUND, ...target };
        const { perSecond, latency } = await client.run(job, RESULT.load);
        late[name].push(latency.p99);
        return perSecond;
      };
      const loads = [load("gateway", gateway), load("exposed", exposed)] as const;
      const { rounds } = bench.counts;
      const [rates, ratesBeside] = await inTurns(rounds, WARMUPS, ...loads);
      const beside = "the URL of `sbx expose`, without TLS";
      const same = { reach: "≥ 0.9 ×", isReached: (_median: number, ratio: number) => ratio >= 0.9 };
      return [
        outcome({
          ...{ id: "app-wake", what: "wake from zero to first byte, p50", unit: "ms", samples: wakes },
          beside: { what: "start of the same program in a machine that runs", samples: starts },
          ...{ reach: "≤ 500 ms", isReached: (median) => median <= 500 },
        }),
        outcome({
          ...{ id: "app-requests", what: `requests to an app through the gateway, ${CONNECTIONS} connections` },
          ...{ unit: "requests/s", samples: rates, beside: { what: beside, samples: ratesBeside }, ...same },
        }),
        outcome({
          ...{
            id: "app-latency-p99",
            what: `a request to an app through the gateway, ${CONNECTIONS} connections, p99`,
          },
          ...{ unit: "ms", samples: late.gateway.slice(WARMUPS), ...same },
          beside: { what: beside, samples: late.exposed.slice(WARMUPS) },
        }),
      ];
    } finally {
      await bench.runtime.apps.remove(APP);
    }
  },
};

async function deploy(bench: Bench): Promise<void> {
  const { apps } = bench.runtime;
  await apps.remove(APP).catch(() => undefined); // of a run that was broken off
  await apps.create({ slug: APP });
  const assets = new Map([[ENTRYPOINT, { kind: "file" as const, content: Buffer.from(SERVER) }]]);
  const { id } = await apps.deploy(APP, {
    ...{ source: { kind: "assets", assets }, production: true, preview: false },
    config: { runtime: { type: "dynamic", entrypoint: ENTRYPOINT } },
  });
  const stages = apps.revisions.progress(id)[Symbol.asyncIterator]();
  while ((await stages.next()).done !== true);
  const { status, failure } = await apps.revisions.get(id);
  if (status !== "succeeded") throw new Error(`the app was not deployed: ${failure ?? status}`);
}

async function untilKept({ paths }: Bench): Promise<void> {
  const kept = path.join(paths.dataPath, "checkpoints");
  const isThere = (): boolean =>
    existsSync(kept) && readdirSync(kept).some((id) => existsSync(path.join(kept, id, "machine.json")));
  while (!isThere()) await sleep(50);
}

async function coldStarts(bench: Bench): Promise<number[]> {
  await using sandbox = await openSandbox(bench);
  await sandbox.files.write("/home/app/server.cjs", Buffer.from(SERVER));
  const starts: number[] = [];
  for (let round = 0; round < bench.counts.rounds; round++) {
    const port = APP_PORT + round;
    starts.push(
      await timed(async () => {
        const argv: [string, ...string[]] = ["node", "/home/app/server.cjs"];
        await sandbox.start({ argv, env: { PORT: String(port) } });
        while (!(await answersHttp(sandbox, port))) await sleep(1);
      }),
    );
  }
  return starts;
}
