/**
 * A server in a sandbox through the public gateway of `sbx serve`, with TLS; beside it the same server through the URL
 * of `sbx expose` on this machine, without.
 */
import { Sandbox } from "@deno/sandbox";
import { RESULT, startHostClient, type PeerTarget } from "../egress/peer.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { openServed } from "../serve/served.ts";
import { inTurns } from "../statistics.ts";
import type { Bench } from "../workbench.ts";
import { SERVER, untilServed } from "./expose.ts";

const GUEST_PORT = 3000;
const CONNECTIONS = 16;
const SECONDS_A_ROUND = 1;
const LATENCY_REQUESTS = 200;
const BESIDE = "the URL of `sbx expose`, without TLS";

export const serveGatewayRow: Row = {
  id: "serve-gateway",
  title: "a server of a sandbox through the public gateway",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { programPath } = await bench.peer();
    await using served = await openServed(bench, { gateway: true });
    process.env.DENO_SANDBOX_ENDPOINT = served.url;
    await using sandbox = await Sandbox.create({ token: served.makeToken() });
    await sandbox.fs.writeTextFile("server.js", SERVER);
    await sandbox.spawn("node", { args: ["server.js"], stdout: "null", stderr: "null" });
    const own = new URL((await bench.runtime.exposures.add(sandbox.id, { guestPort: GUEST_PORT })).url);
    const open = new URL(await sandbox.exposeHttp({ port: GUEST_PORT }));
    const exposed: PeerTarget = { address: `127.0.0.1:${own.port}`, host: own.host, plain: true, path: "/" };
    const gateway: PeerTarget = {
      ...{ address: `127.0.0.1:${open.port}`, host: open.host, name: open.hostname, path: "/" },
      ca: served.authorityPath,
    };
    await untilServed(exposed);
    await using client = startHostClient(programPath);
    const load = (target: PeerTarget) => async (): Promise<number> => {
      const job = { kind: "load" as const, connections: CONNECTIONS, seconds: SECONDS_A_ROUND, ...target };
      return (await client.run(job, RESULT.load)).perSecond;
    };
    const latencies: { through: number[]; direct: number[] } = { through: [], direct: [] };
    for (let round = -1; round < bench.counts.rounds; round++) {
      const job = { kind: "latency" as const, count: LATENCY_REQUESTS, direct: exposed, ...gateway };
      const { direct, through } = await client.run(job, RESULT.latency);
      if (round < 0) continue;
      latencies.through.push(through.p50);
      latencies.direct.push(direct.p50);
    }
    const [rates, ratesBeside] = await inTurns(bench.counts.rounds, 2, load(gateway), load(exposed));
    return [
      outcome({
        ...{ id: "serve-gateway-requests", what: `requests through the gateway, ${CONNECTIONS} connections` },
        ...{ unit: "requests/s", samples: rates, beside: { what: BESIDE, samples: ratesBeside } },
      }),
      outcome({
        ...{ id: "serve-gateway-latency", what: "a request through the gateway, one connection, p50", unit: "ms" },
        ...{ samples: latencies.through, beside: { what: BESIDE, samples: latencies.direct } },
      }),
    ];
  },
};
