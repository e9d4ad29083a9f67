/**
 * The intercepting path by itself, without a guest: a client on the host asks through it for a page with a secret put
 * in, over connections that stay open. Beside it mitmproxy with the same work to do, and tinyproxy, which only carries
 * bytes. Each is one process on its own; client and server are the same for all.
 */
import { startOwnProxy } from "../egress/own-proxy.ts";
import { RESULT, startHostClient, type PeerClient, type PeerTarget } from "../egress/peer.ts";
import { startMitmproxy, startTinyproxy, straightTo, type Way } from "../egress/proxies.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { allInTurns } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const CONNECTIONS = 16;
const SECONDS_A_ROUND = 1;
const REQUESTS_REACH_TIMES = 5;
/** So that the 99th percentile of a round is one of five. */
const LATENCY_REQUESTS = 500;
const LATENCY_REACH_MS = { p50: 1, p99: 5 } as const;

export const requestsRow: Row = {
  id: "egress-requests",
  title: "requests a second through the intercepting path",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using parts = await openParts(bench);
    const load = (target: PeerTarget) => async (): Promise<number> => {
      const job = { kind: "load" as const, connections: CONNECTIONS, seconds: SECONDS_A_ROUND, ...target };
      return (await parts.client.run(job, RESULT.load)).perSecond;
    };
    const rates = await allInTurns(bench.counts.rounds, 3, {
      own: load(parts.own.target),
      mitmproxy: load(parts.mitmproxy.target),
      tinyproxy: load(parts.tinyproxy.target),
      straight: load(parts.straight),
    });
    const what = "requests through the intercepting path, a secret put in";
    return [
      outcome({
        ...{ id: "egress-requests", what, unit: "requests/s", samples: rates.own },
        beside: { what: "mitmproxy, an addon that puts it in", samples: rates.mitmproxy },
        reach: `≥ ${REQUESTS_REACH_TIMES} ×`,
        isReached: (_median, ratio) => ratio >= REQUESTS_REACH_TIMES,
      }),
      outcome({
        ...{ id: "egress-requests-tunnel", what, unit: "requests/s", samples: rates.own },
        beside: { what: "tinyproxy, bytes carried only", samples: rates.tinyproxy },
      }),
      outcome({
        ...{ id: "egress-requests-straight", what, unit: "requests/s", samples: rates.own },
        beside: { what: "client and server, nothing between", samples: rates.straight },
      }),
    ];
  },
};

export const latencyRow: Row = {
  id: "egress-latency",
  title: "latency added by the intercepting path",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using parts = await openParts(bench);
    const added = { own: newSeries(), mitmproxy: newSeries() };
    const measure = (name: keyof typeof added) => async (): Promise<number> => {
      const job = { kind: "latency" as const, count: LATENCY_REQUESTS, direct: parts.straight };
      const { direct, through } = await parts.client.run({ ...job, ...parts[name].target }, RESULT.latency);
      added[name].p50.push(through.p50 - direct.p50);
      added[name].p99.push(through.p99 - direct.p99);
      return through.p50;
    };
    const { rounds } = bench.counts;
    await allInTurns(rounds, 3, { own: measure("own"), mitmproxy: measure("mitmproxy") });
    return (["p50", "p99"] as const).map((quantile) =>
      outcome({
        id: `egress-latency-${quantile}`,
        what: `latency added by the intercepting path, ${quantile}`,
        unit: "ms",
        samples: added.own[quantile].slice(-rounds),
        beside: { what: "mitmproxy", samples: added.mitmproxy[quantile].slice(-rounds) },
        reach: `≤ ${LATENCY_REACH_MS[quantile]} ms`,
        isReached: (median) => median <= LATENCY_REACH_MS[quantile],
      }),
    );
  },
};

function newSeries(): Record<"p50" | "p99", number[]> {
  return { p50: [], p99: [] };
}

interface Parts extends AsyncDisposable {
  client: PeerClient;
  straight: PeerTarget;
  own: Way;
  mitmproxy: Way;
  tinyproxy: Way;
}

async function openParts(bench: Bench): Promise<Parts> {
  const server = await bench.peer();
  await using opened = new AsyncDisposableStack();
  const own = opened.use(await startOwnProxy(server));
  const mitmproxy = opened.use(await startMitmproxy(bench, server));
  const tinyproxy = opened.use(await startTinyproxy(bench, server));
  const client = opened.use(startHostClient(server.programPath));
  const kept = opened.move();
  return {
    ...{ client, own, mitmproxy, tinyproxy, straight: straightTo(server) },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
