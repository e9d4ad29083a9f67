/**
 * An app that nobody used for a while: from a request until the first byte of its answer, through the gateway with TLS,
 * with a machine that goes on from the app's own memory. Beside it the start of the same program in a machine that runs
 * already. And what the app then takes, through the gateway and through the URL of `sbx expose`.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { request } from "node:https";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { answersHttp } from "../../src/runtime/local/apps/health.ts";
import { RESULT, startHostClient, type PeerTarget } from "../egress/peer.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { openServed, type Served } from "../serve/served.ts";
import { inTurns, timed } from "../statistics.ts";
import { openSandbox, type Bench } from "../workbench.ts";
import { untilServed } from "./expose.ts";

const APP = "bench-app";
const SERVER = `
const server = require("node:http").createServer((request, response) => response.end("hello\\n"));
server.keepAliveTimeout = 600_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
`;
const APP_PORT = 8000;
/** For everything to be over that the end of the machine before has begun, `ms`. */
const GONE_MS = 500;
const CONNECTIONS = 16;
const SECONDS_A_ROUND = 1;

export const appWakeRow: Row = {
  id: "app-wake",
  title: "an app that scales to zero",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { programPath } = await bench.peer();
    await using served = await openServed(bench, { gateway: true });
    await deploy(bench);
    try {
      const host = `${APP}.localhost`;
      const ask = async (): Promise<void> => askFor(host, served);
      await ask();
      await untilKept(bench);
      const wakes: number[] = [];
      for (let round = -1; round < bench.counts.rounds; round++) {
        for (const id of await instances(bench)) await bench.runtime.remove(id);
        await sleep(GONE_MS);
        const took = await timed(ask);
        if (round >= 0) wakes.push(took);
      }
      const starts = await coldStarts(bench);
      const [id = ""] = await instances(bench);
      const own = new URL((await bench.runtime.exposures.add(id, { guestPort: APP_PORT })).url);
      const exposed: PeerTarget = { address: `127.0.0.1:${own.port}`, host: own.host, plain: true, path: "/" };
      const gateway: PeerTarget = {
        ...{ address: `127.0.0.1:${served.gatewayPort}`, host: `${host}:${served.gatewayPort}`, name: host, path: "/" },
        ca: served.authorityPath,
      };
      await untilServed(exposed);
      await using client = startHostClient(programPath);
      const load = (target: PeerTarget) => async (): Promise<number> => {
        const job = { kind: "load" as const, connections: CONNECTIONS, seconds: SECONDS_A_ROUND, ...target };
        return (await client.run(job, RESULT.load)).perSecond;
      };
      const [rates, ratesBeside] = await inTurns(bench.counts.rounds, 2, load(gateway), load(exposed));
      return [
        outcome({
          ...{ id: "app-wake", what: "wake from zero to first byte, p50", unit: "ms", samples: wakes },
          beside: { what: "start of the same program in a machine that runs", samples: starts },
          ...{ reach: "≤ 500 ms", isReached: (median) => median <= 500 },
        }),
        outcome({
          ...{ id: "app-requests", what: `requests to an app through the gateway, ${CONNECTIONS} connections` },
          ...{ unit: "requests/s", samples: rates },
          beside: { what: "the URL of `sbx expose`, without TLS", samples: ratesBeside },
          ...{ reach: "≥ 0.9 ×", isReached: (_median, ratio) => ratio >= 0.9 },
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
  const assets = new Map([["server.cjs", { kind: "file" as const, content: Buffer.from(SERVER) }]]);
  const { id } = await apps.deploy(APP, {
    ...{ source: { kind: "assets", assets }, production: true, preview: false },
    config: { runtime: { type: "dynamic", entrypoint: "server.cjs" } },
  });
  const stages = apps.revisions.progress(id)[Symbol.asyncIterator]();
  while ((await stages.next()).done !== true);
  const { status, failure } = await apps.revisions.get(id);
  if (status !== "succeeded") throw new Error(`the app was not deployed: ${failure ?? status}`);
}

async function instances({ runtime }: Bench): Promise<string[]> {
  const all = await runtime.list();
  return all.filter(({ status, labels }) => status === "running" && "sbx.revision" in labels).map(({ id }) => id);
}

async function untilKept({ paths }: Bench): Promise<void> {
  const kept = path.join(paths.dataPath, "checkpoints");
  const isThere = (): boolean =>
    existsSync(kept) && readdirSync(kept).some((id) => existsSync(path.join(kept, id, "machine.json")));
  while (!isThere()) await sleep(50);
}

/** Until the first byte of the answer, on a connection of its own. */
async function askFor(host: string, { gatewayPort: port, authorityPath }: Served): Promise<void> {
  const headers = { host: `${host}:${port}` };
  const ca = readFileSync(authorityPath);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: host, ca, headers, agent: false as const };
    request(options, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .once("error", reject)
      .end();
  });
  if (status !== 200) throw new Error(`the app answers ${status}`);
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
