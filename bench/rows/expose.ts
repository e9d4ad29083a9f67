/**
 * A server in a sandbox, asked by a client of this machine through `sbx expose`. Beside it the same server in the same
 * kind of machine behind QEMU's own port forward (`hostfwd` of its user network), which is what people would use instead.
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RESULT, startHostClient, type PeerClient, type PeerTarget } from "../egress/peer.ts";
import { preparePlainMachine } from "../plain-machine.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { allInTurns } from "../statistics.ts";
import type { Bench } from "../workbench.ts";
import { freePort } from "../free-port.ts";

const GUEST_PORT = 3000;
/** The user network's own plan (QEMU documentation, "Using the user mode network stack"). */
const NETWORK_SCRIPT = [
  "nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)",
  'ip link set "$nic" up; ip link set lo up',
  'ip address add 10.0.2.15/24 dev "$nic"; ip route add default via 10.0.2.2',
].join("\n");
/** What a development server does at least: Node's own, with a short answer. */
export const SERVER = `
const server = require("node:http").createServer((request, response) => {
  response.setHeader("content-type", "text/plain");
  response.end("hello from " + request.url + "\\n");
});
server.keepAliveTimeout = 600_000;
server.listen(${GUEST_PORT}, "0.0.0.0");
`;
const SERVER_PATH = "/run/bench-server.js";
const START_DEADLINE_MS = 60_000;

const CONNECTIONS = 16;
const SECONDS_A_ROUND = 2;
const LATENCY_REQUESTS = 200;
const REACH = 0.9;
const BESIDE = "QEMU's own port forward";

export const exposeRow: Row = {
  id: "expose",
  title: "a server of a sandbox through its URL",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using parts = await openParts(bench);
    const { client, exposed, forwarded } = parts;
    const load = (target: PeerTarget) => async (): Promise<number> => {
      const job = { kind: "load" as const, connections: CONNECTIONS, seconds: SECONDS_A_ROUND, ...target };
      return (await client.run(job, RESULT.load)).perSecond;
    };
    const { rounds } = bench.counts;
    const rates = await allInTurns(rounds, 2, { exposed: load(exposed), forwarded: load(forwarded) });
    const latencies: { exposed: number[]; forwarded: number[] } = { exposed: [], forwarded: [] };
    for (let round = -1; round < rounds; round++) {
      const job = { kind: "latency" as const, count: LATENCY_REQUESTS, direct: forwarded, ...exposed };
      const { direct, through } = await client.run(job, RESULT.latency);
      if (round < 0) continue;
      latencies.exposed.push(through.p50);
      latencies.forwarded.push(direct.p50);
    }
    const connect = (target: PeerTarget) => async (): Promise<number> =>
      (await client.run({ kind: "connect" as const, ...target }, RESULT.connect)).ms;
    const first = await allInTurns(rounds, 2, { exposed: connect(exposed), forwarded: connect(forwarded) });
    const isReached = (_median: number, ratio: number): boolean => ratio >= REACH;
    const reach = `≥ ${REACH} ×`;
    return [
      outcome({
        ...{ id: "expose-requests", what: `requests to a server of a sandbox, ${CONNECTIONS} connections` },
        ...{ unit: "requests/s", samples: rates.exposed, reach, isReached },
        beside: { what: BESIDE, samples: rates.forwarded },
      }),
      outcome({
        ...{ id: "expose-latency", what: "a request to a server of a sandbox, one connection, p50" },
        ...{ unit: "ms", samples: latencies.exposed, reach, isReached },
        beside: { what: BESIDE, samples: latencies.forwarded },
      }),
      outcome({
        ...{ id: "expose-connect", what: "a new connection to a server of a sandbox and its first answer" },
        ...{ unit: "ms", samples: first.exposed },
        beside: { what: BESIDE, samples: first.forwarded },
      }),
    ];
  },
};

interface Parts extends AsyncDisposable {
  client: PeerClient;
  exposed: PeerTarget;
  forwarded: PeerTarget;
}

async function openParts(bench: Bench): Promise<Parts> {
  const { programPath } = await bench.peer();
  await using opened = new AsyncDisposableStack();
  const scriptPath = path.join(bench.scratchPath, "server.js");
  writeFileSync(scriptPath, SERVER);
  const forwarded = await startForwarded(bench, scriptPath, opened);
  const exposed = await startExposed(bench, scriptPath, opened);
  await untilServed(forwarded);
  await untilServed(exposed);
  const client = opened.use(startHostClient(programPath));
  const kept = opened.move();
  return { client, exposed, forwarded, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function startForwarded(bench: Bench, scriptPath: string, opened: AsyncDisposableStack): Promise<PeerTarget> {
  bench.log("booting the machine with QEMU's port forward");
  const port = await freePort();
  const prepared = await preparePlainMachine(bench, {
    devices: [
      ...["-netdev", `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:${port}-:${GUEST_PORT}`],
      ...["-device", "virtio-net-device,netdev=net0"],
    ],
  });
  const machine = opened.use(await prepared.boot());
  await machine.run("sh", "-ec", NETWORK_SCRIPT);
  await machine.put(scriptPath, SERVER_PATH);
  await machine.start("node", SERVER_PATH);
  return { address: `127.0.0.1:${port}`, host: "localhost", plain: true, path: "/" };
}

async function startExposed(bench: Bench, scriptPath: string, opened: AsyncDisposableStack): Promise<PeerTarget> {
  const sandbox = opened.use(await bench.runtime.create({ lifetime: { kind: "session" } }));
  await sandbox.upload([scriptPath], SERVER_PATH, { user: "root" });
  const session = opened.use(await sandbox.exec({ argv: ["node", SERVER_PATH], user: "root" }));
  session.stdout.resume();
  session.stderr.resume();
  const { url } = await bench.runtime.exposures.add(sandbox.id, { guestPort: GUEST_PORT });
  const { host, port } = new URL(url);
  return { address: `127.0.0.1:${port}`, host, plain: true, path: "/" };
}

export async function untilServed({ address, host = "" }: PeerTarget): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  const { request } = await import("node:http");
  for (;;) {
    const status = await new Promise<number>((resolve) => {
      const asked = request(`http://${address}/`, { headers: { host }, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      asked.on("error", () => resolve(0));
      asked.end();
    });
    if (status === 200) return;
    if (performance.now() > deadline) throw new Error(`no server answers at ${address}`);
    await sleep(100);
  }
}
