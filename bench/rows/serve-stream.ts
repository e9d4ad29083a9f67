/**
 * Bytes from a sandbox to a program that uses the official SDK, through `sbx serve`. The guest is as fast as this machine;
 * beside it the `ws` package alone sends the SDK the same messages, which is what the SDK can take.
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Sandbox } from "@deno/sandbox";
import { megabytesPerSecond } from "../programs.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { startAnswering, startedSchema } from "../serve/answering-process.ts";
import { openFastGuest } from "../serve/fast-guest.ts";
import { openServed } from "../serve/served.ts";
import { inTurns, timed } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const ORGANISATION = "bench-stream";
const FILE_BYTES = 50_000_000;
const STREAM_BYTES = 200_000_000;
const REACH_MBPS = 60;
const BESIDE = "the SDK and `ws` alone, the same bytes";

export const serveStreamRow: Row = {
  id: "serve-stream",
  title: "bytes to a program that uses the official SDK",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using served = await openServed(bench);
    await using guest = await openFastGuest(served, ORGANISATION);
    await using bare = await startAnswering([
      process.execPath,
      path.join(import.meta.dirname, "../serve/bare-websocket.ts"),
    ]);
    const token = served.makeToken(ORGANISATION);
    const file = path.join(guest.home, `file-${FILE_BYTES}`);
    writeFileSync(file, Buffer.alloc(FILE_BYTES));
    await using through = await connect(guest.id, served.url, token);
    await using alone = await connect(guest.id, startedSchema.parse(bare.answer).url, token);
    const read = (sandbox: Sandbox) => async (): Promise<number> =>
      rate(FILE_BYTES, async () => (await sandbox.fs.readFile(file)).length);
    const stream = (sandbox: Sandbox) => async (): Promise<number> =>
      rate(STREAM_BYTES, () => outputBytes(sandbox, STREAM_BYTES));
    const { copyRounds } = bench.counts;
    const [files, filesAlone] = await inTurns(copyRounds, 1, read(through), read(alone));
    const [streams, streamsAlone] = await inTurns(copyRounds, 1, stream(through), stream(alone));
    const row = (rowId: string, what: string, samples: number[], other: number[]): Outcome =>
      outcome({
        ...{ id: rowId, what, unit: "MB/s", samples, beside: { what: BESIDE, samples: other } },
        reach: `≥ ${REACH_MBPS} MB/s`,
        isReached: (median) => median >= REACH_MBPS,
      });
    return [
      row("serve-read-file", "SDK `readFile` of 50 MB, a guest as fast as the host", files, filesAlone),
      row("serve-stdout", "SDK, 200 MB of standard output, the same guest", streams, streamsAlone),
    ];
  },
};

async function connect(id: string, url: string, token: string): Promise<Sandbox> {
  process.env.DENO_SANDBOX_ENDPOINT = url;
  return Sandbox.connect({ id, token });
}

async function rate(bytes: number, work: () => Promise<number>): Promise<number> {
  let received = 0;
  const ms = await timed(async () => {
    received = await work();
  });
  if (received !== bytes) throw new Error(`${received} bytes came, not ${bytes}`);
  return megabytesPerSecond(bytes, ms);
}

async function outputBytes(sandbox: Sandbox, bytes: number): Promise<number> {
  const args = ["-c", `head -c $1 /dev/zero`, "sh", `${bytes}`];
  const child = await sandbox.spawn("sh", { args, stdin: "null", stdout: "piped", stderr: "null" });
  let received = 0;
  for await (const chunk of child.stdout ?? []) received += chunk.length;
  await child.status;
  return received;
}
