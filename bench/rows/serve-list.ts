/** How many lists of sandboxes a second the server of `sbx serve` answers; beside it node:http alone, with the same bytes. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { ownIdentity } from "../../src/host/process-identity.ts";
import { RESULT, startHostClient, type PeerTarget } from "../egress/peer.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { startAnswering, startedSchema } from "../serve/answering-process.ts";
import { openServed, recordSandboxes } from "../serve/served.ts";
import { inTurns } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const SANDBOXES = 100;
const CONNECTIONS = 16;
const SECONDS_A_ROUND = 2;
const REACH = 2_000;
const ORGANISATION = "bench-list";
const LIST_PATH = "/api/v2/sandboxes";

export const serveListRow: Row = {
  id: "serve-list",
  title: `lists of ${SANDBOXES} sandboxes over the API`,
  async measure(bench: Bench): Promise<Outcome[]> {
    const { programPath } = await bench.peer();
    await using served = await openServed(bench);
    recordSandboxes(served.pathsOf(ORGANISATION), { count: SANDBOXES, supervisor: ownIdentity() });
    const headers = { authorization: `Bearer ${served.makeToken(ORGANISATION)}` };
    const body = await listOnce(`${served.url}${LIST_PATH}`, headers);
    const bodyPath = path.join(bench.scratchPath, "list.json");
    writeFileSync(bodyPath, body);
    const bareArgv = [process.execPath, path.join(import.meta.dirname, "../serve/bare-http.ts"), bodyPath];
    await using bare = await startAnswering(bareArgv);
    await using client = startHostClient(programPath);
    const load = (url: string) => async (): Promise<number> => {
      const target: PeerTarget = {
        address: new URL(url).host,
        host: "localhost",
        plain: true,
        path: LIST_PATH,
        headers,
      };
      const job = { kind: "load" as const, connections: CONNECTIONS, seconds: SECONDS_A_ROUND, ...target };
      return (await client.run(job, RESULT.load)).perSecond;
    };
    const [samples, alone] = await inTurns(
      bench.counts.rounds,
      2,
      load(served.url),
      load(startedSchema.parse(bare.answer).url),
    );
    return [
      outcome({
        ...{ id: "serve-list", what: `\`sandboxes.list\` of ${SANDBOXES} over the API, ${CONNECTIONS} connections` },
        ...{ unit: "requests/s", samples },
        beside: { what: "node:http alone, the same bytes", samples: alone },
        reach: `≥ ${REACH.toLocaleString("en")}/s`,
        isReached: (median) => median >= REACH,
      }),
    ];
  },
};

/** The answer's body. @throws Error for anything but that many sandboxes */
async function listOnce(url: string, headers: Record<string, string>): Promise<string> {
  const response = await fetch(url, { headers });
  const text = await response.text();
  const list = z.array(z.object({ status: z.literal("running") })).parse(JSON.parse(text));
  if (list.length !== SANDBOXES) throw new Error(`${list.length} sandboxes are listed, not ${SANDBOXES}`);
  return text;
}
