/** What open connections cost the supervisor: thousands of a real guest's, tunnelled and idle after a few bytes. */
import { setTimeout as sleep } from "node:timers/promises";
import { openNetworkSandbox } from "../egress/network-sandbox.ts";
import { RESULT } from "../egress/peer.ts";
import { pssBytes, rssBytes } from "../process-trees.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { repeat } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const FLOWS = 2_000;
const REACH_MB = 150;
const SETTLE_MS = 10_000;
const READINGS = 5;
const READING_INTERVAL_MS = 1_000;

export const flowsRow: Row = {
  id: "egress-flows",
  title: "supervisor memory with 2,000 open connections",
  async measure(bench: Bench): Promise<Outcome[]> {
    const server = await bench.peer();
    await using guest = await openNetworkSandbox(bench, server, { inspect: false });
    const target = guest.target(server.ports.raw);
    const pids = [guest.supervisorPid];
    const read = async (): Promise<number> => {
      await sleep(READING_INTERVAL_MS);
      return pssBytes(pids) / 1e6;
    };
    // One connection first: what only the first one loads is not a connection's.
    await guest.client.run({ kind: "hold", count: 1, ...target }, RESULT.hold);
    await sleep(SETTLE_MS);
    const before = await repeat(READINGS, 0, read);
    const { ms } = await guest.client.run({ kind: "hold", count: FLOWS, ...target }, RESULT.hold);
    await sleep(SETTLE_MS);
    const samples = await repeat(READINGS, 0, read);
    bench.log(
      `${FLOWS} connections were open after ${(ms / 1000).toFixed(1)} s; the supervisor's resident set is ${(rssBytes(pids) / 1e6).toFixed(1)} MB`,
    );
    await guest.client.run({ kind: "release" }, RESULT.done);
    return [
      outcome({
        ...{ id: "egress-flows", what: `supervisor's memory (PSS), ${FLOWS} connections open`, unit: "MB", samples },
        beside: { what: "the same with one connection", samples: before },
        reach: `≤ ${REACH_MB} MB`,
        isReached: (median) => median <= REACH_MB,
      }),
    ];
  },
};
