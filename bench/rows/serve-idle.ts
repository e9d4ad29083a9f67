/**
 * What a client that is connected and idle costs the server of `sbx serve`: memory, with the SDK's heartbeat every two
 * seconds. Beside it the least that node:http and node:net need to join two sockets.
 */
import { setTimeout as sleep } from "node:timers/promises";
import path from "node:path";
import { WebSocket } from "ws";
import { HEARTBEAT_MS } from "../../src/protocol/rpc-limits.ts";
import { HEARTBEAT } from "../../src/protocol/rpc-messages.ts";
import { connectTarget } from "../../src/protocol/sandbox-target.ts";
import { cpuMs, pssBytes } from "../process-trees.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { startAnswering, startedSchema } from "../serve/answering-process.ts";
import { openFastGuest } from "../serve/fast-guest.ts";
import { openServed } from "../serve/served.ts";
import { repeat } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const ORGANISATION = "bench-idle";
const CLIENTS = 1_000;
/** Handshakes under way at one time. */
const AT_ONCE = 20;
const REACH_KB = 100;
const SETTLE_MS = 10_000;
const READINGS = 5;
const READING_INTERVAL_MS = 1_000;

export const serveIdleRow: Row = {
  id: "serve-idle",
  title: "server memory of each idle client",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using served = await openServed(bench);
    await using guest = await openFastGuest(served, ORGANISATION);
    const program = path.join(import.meta.dirname, "../serve/bare-relay.ts");
    await using bare = await startAnswering([process.execPath, program, guest.socketPath]);
    const target = connectTarget(guest.id);
    const authorization = `Bearer ${served.makeToken(ORGANISATION)}`;
    const samples = await measureEach(bench, served.pid, `${served.url}${target}`, { authorization });
    const least = await measureEach(bench, bare.pid, `${startedSchema.parse(bare.answer).url}${target}`, {});
    return [
      outcome({
        ...{ id: "serve-idle", what: `server memory of each idle client, ${CLIENTS} connected`, unit: "kB", samples },
        beside: { what: "node:http and node:net with the least", samples: least },
        reach: `≤ ${REACH_KB} kB`,
        isReached: (median) => median <= REACH_KB,
      }),
    ];
  },
};

/** What each further client has added to the process's memory, kB. */
async function measureEach(bench: Bench, pid: number, url: string, headers: Record<string, string>): Promise<number[]> {
  await using clients = new IdleClients(url, headers);
  // What only the first ones load is not a client's.
  await clients.add(AT_ONCE);
  await sleep(SETTLE_MS);
  const before = pssBytes([pid]);
  await clients.add(CLIENTS);
  await sleep(SETTLE_MS);
  const [start, worked] = [performance.now(), cpuMs([pid])];
  const samples = await repeat(READINGS, 0, async () => {
    await sleep(READING_INTERVAL_MS);
    return (pssBytes([pid]) - before) / CLIENTS / 1000;
  });
  const share = ((cpuMs([pid]) - worked) / (performance.now() - start)) * 100;
  bench.log(`${CLIENTS} heartbeats every ${HEARTBEAT_MS} ms took ${share.toFixed(1)} % of a core`);
  return samples;
}

class IdleClients implements AsyncDisposable {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #sockets: WebSocket[] = [];
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(url: string, headers: Record<string, string>) {
    this.#url = url;
    this.#headers = headers;
  }

  async add(count: number): Promise<void> {
    for (let left = count; left > 0; left -= AT_ONCE) {
      await Promise.all(Array.from({ length: Math.min(left, AT_ONCE) }, async () => this.#connect()));
    }
  }

  async #connect(): Promise<void> {
    const socket = new WebSocket(this.#url, { headers: this.#headers, perMessageDeflate: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve).once("error", reject);
    });
    socket.on("message", () => undefined);
    this.#sockets.push(socket);
    this.#timers.push(setInterval(() => socket.send(HEARTBEAT.ping), HEARTBEAT_MS));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.terminate();
  }
}
