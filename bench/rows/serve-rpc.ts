/** A round trip of the RPC over `sbx serve`, which the supervisor answers by itself; beside it the supervisor's own socket. */
import { Sandbox } from "@deno/sandbox";
import { connectTarget } from "../../src/protocol/sandbox-target.ts";
import { connectRpc } from "../../src/runtime/sandbox/rpc-client.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { openServed } from "../serve/served.ts";
import { socketPathOf } from "../../src/runtime/local/state.ts";
import { inTurns, summarize, timed } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const REACH_MS = 2;
const CALLS_A_ROUND = 200;

export const serveRpcRow: Row = {
  id: "serve-rpc",
  title: "round trip of the RPC over the API",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using served = await openServed(bench);
    process.env.DENO_SANDBOX_ENDPOINT = served.url;
    await using sandbox = await Sandbox.create({ token: served.makeToken(), env: { COLOUR: "green" } });
    const direct = await connectRpc({
      socketPath: socketPathOf(bench.paths, sandbox.id),
      requestPath: connectTarget(sandbox.id),
    });
    try {
      const [samples, alone] = await inTurns(
        bench.counts.rounds,
        2,
        () => p50(async () => sandbox.env.get("COLOUR")),
        () => p50(async () => direct.call("envGet", { key: "COLOUR" })),
      );
      return [
        outcome({
          ...{ id: "serve-rpc", what: `SDK \`env.get\`, p50 of ${CALLS_A_ROUND}`, unit: "ms", samples },
          beside: { what: "the same call on the supervisor's own socket", samples: alone },
          reach: `≤ ${REACH_MS} ms`,
          isReached: (median) => median <= REACH_MS,
        }),
      ];
    } finally {
      await direct.close();
      await sandbox.kill();
    }
  },
};

async function p50(call: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < CALLS_A_ROUND; index++) {
    let value: unknown;
    times.push(
      await timed(async () => {
        value = await call();
      }),
    );
    if (value !== "green") throw new Error(`the variable is ${String(value)}`);
  }
  return summarize(times).median;
}
