/**
 * What the network costs a program in the guest, beside QEMU's own user-mode network with the same guest, server and
 * client. What a tunnel is worth is judged by plain TCP. Under emulation the guest's own TLS takes most of a transfer on
 * both sides (three quarters of a download), so a tunnel with TLS in it is shown without a verdict.
 */
import { megabytesPerSecond } from "../programs.ts";
import { openNetworkSandbox } from "../egress/network-sandbox.ts";
import { RESULT, SERVER_NAME, type ConnectSteps, type PeerServer } from "../egress/peer.ts";
import { openUserNetworkMachine, type NetworkGuest } from "../egress/user-network-machine.ts";
import { outcome, type Outcome, type OutcomeInput, type Row } from "../row.ts";
import { allInTurns, summarize } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const RAW_BYTES = 64_000_000;
/** At a quarter of the speed. */
const TLS_BYTES = 16_000_000;
const TUNNELLED_REACH_TIMES = 1.5;
const INTERCEPTED_REACH_TIMES = 1;
const CONNECT_REACH_TIMES = { tunnelled: 1.2, intercepted: 1.6 } as const;

/** The three ways to the server. They stay up together and take turns. */
interface Guests extends AsyncDisposable {
  plain: NetworkGuest;
  tunnelled: NetworkGuest;
  intercepted: NetworkGuest;
}

type Way = "plain" | "tunnelled" | "intercepted";

async function openGuests(bench: Bench, server: PeerServer): Promise<Guests> {
  await using opened = new AsyncDisposableStack();
  const plain = opened.use(await openUserNetworkMachine(bench, server));
  const tunnelled = opened.use(await openNetworkSandbox(bench, server, { inspect: false }));
  const intercepted = opened.use(await openNetworkSandbox(bench, server, { inspect: true }));
  const kept = opened.move();
  return { plain, tunnelled, intercepted, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

type Direction = "download" | "upload";

export const bulkRow: Row = {
  id: "egress-bulk",
  title: "bulk download and upload from the guest",
  async measure(bench: Bench): Promise<Outcome[]> {
    const server = await bench.peer();
    await using guests = await openGuests(bench, server);
    const outcomes: Outcome[] = [];
    for (const direction of ["download", "upload"] as const) {
      outcomes.push(...(await measureDirection(bench, server, guests, direction)));
    }
    outcomes.push(...(await measureCurl(bench, server, guests)));
    return outcomes;
  },
};

async function measureDirection(
  bench: Bench,
  server: PeerServer,
  guests: Guests,
  direction: Direction,
): Promise<Outcome[]> {
  const raw = async (way: Way): Promise<number> => {
    const target = guests[way].target(server.ports.raw);
    const job = { kind: direction, bytes: RAW_BYTES, ...target };
    return megabytesPerSecond(RAW_BYTES, (await guests[way].client.run(job, RESULT.transfer)).ms);
  };
  const https = async (way: Way): Promise<number> => {
    const target = guests[way].target(server.ports.https);
    const job = { kind: `http-${direction}` as const, bytes: TLS_BYTES, ...target };
    return megabytesPerSecond(TLS_BYTES, (await guests[way].client.run(job, RESULT.transfer)).ms);
  };
  const rates = await allInTurns(bench.counts.copyRounds, 1, {
    rawPlain: () => raw("plain"),
    rawTunnelled: () => raw("tunnelled"),
    tlsPlain: () => https("plain"),
    tlsTunnelled: () => https("tunnelled"),
    tlsIntercepted: () => https("intercepted"),
  });
  const row = (id: string, what: string, samples: number[], other: number[], reachTimes?: number): Outcome =>
    outcome({
      ...{ id: `egress-${id}-${direction}`, what: `guest ${direction}, ${what}`, unit: "MB/s", samples },
      beside: { what: "QEMU's user network", samples: other },
      ...(reachTimes === undefined ? {} : atLeast(reachTimes)),
    });
  return [
    row("raw", "tunnelled, plain TCP", rates.rawTunnelled, rates.rawPlain, TUNNELLED_REACH_TIMES),
    row("tls", "tunnelled, TLS end to end", rates.tlsTunnelled, rates.tlsPlain),
    row("intercepted", "intercepted TLS", rates.tlsIntercepted, rates.tlsPlain, INTERCEPTED_REACH_TIMES),
  ];
}

function atLeast(times: number): Pick<OutcomeInput, "reach" | "isReached"> {
  return { reach: `≥ ${times} ×`, isReached: (_median, ratio) => ratio >= times };
}

/** The same as a user would, with the start of curl in it. */
async function measureCurl(bench: Bench, { ports }: PeerServer, guests: Guests): Promise<Outcome[]> {
  const curl = async (way: Way, scheme: "http" | "https", bytes: number): Promise<number> =>
    megabytesPerSecond(bytes, await timeCurl(guests[way], scheme, ports[scheme], `/bytes/${bytes}`));
  const rates = await allInTurns(bench.counts.copyRounds, 1, {
    httpPlain: () => curl("plain", "http", RAW_BYTES),
    http: () => curl("tunnelled", "http", RAW_BYTES),
    httpsPlain: () => curl("plain", "https", TLS_BYTES),
    httpsTunnelled: () => curl("tunnelled", "https", TLS_BYTES),
    httpsIntercepted: () => curl("intercepted", "https", TLS_BYTES),
  });
  const row = (id: string, what: string, samples: number[], other: number[]): Outcome =>
    outcome({
      ...{ id: `egress-curl-${id}`, what: `\`curl\` in the guest, ${what}`, unit: "MB/s", samples },
      beside: { what: "QEMU's user network", samples: other },
    });
  return [
    row("http", "64 MB over plain HTTP, tunnelled", rates.http, rates.httpPlain),
    row("tunnelled", "16 MB over HTTPS, tunnelled", rates.httpsTunnelled, rates.httpsPlain),
    row("intercepted", "16 MB over HTTPS, intercepted", rates.httpsIntercepted, rates.httpsPlain),
  ];
}

async function timeCurl(guest: NetworkGuest, scheme: string, port: number, path: string): Promise<number> {
  const url = `${scheme}://${SERVER_NAME}:${port}${path}`;
  return guest.time("curl", "-sSf", "-o", "/dev/null", ...guest.curlOptions(port), url);
}

export const connectRow: Row = {
  id: "egress-connect",
  title: "new HTTPS connection and a GET from the guest",
  async measure(bench: Bench): Promise<Outcome[]> {
    const server = await bench.peer();
    await using guests = await openGuests(bench, server);
    const steps: Record<Way, ConnectSteps[]> = { plain: [], tunnelled: [], intercepted: [] };
    const connect = (way: Way) => async (): Promise<number> => {
      const target = guests[way].target(server.ports.https);
      const result = await guests[way].client.run({ kind: "connect", path: "/", ...target }, RESULT.connect);
      steps[way].push(result);
      return result.ms;
    };
    const curl = (way: Way) => (): Promise<number> => timeCurl(guests[way], "https", server.ports.https, "/");
    const { rounds } = bench.counts;
    const own = await allInTurns(rounds, 5, onEachWay(connect));
    for (const [way, all] of Object.entries(steps)) bench.log(describeSteps(way, all.slice(-rounds)));
    const curls = await allInTurns(rounds, 2, onEachWay(curl));
    const row = (id: string, what: string, times: Record<Way, number[]>, way: keyof typeof CONNECT_REACH_TIMES) =>
      outcome({
        ...{ id: `${id}-${way}`, what: `${what}, ${way}`, unit: "ms", samples: times[way] },
        beside: { what: "QEMU's user network", samples: times.plain },
        reach: `≤ ${CONNECT_REACH_TIMES[way]} ×`,
        isReached: (_median, ratio) => 1 / ratio <= CONNECT_REACH_TIMES[way],
      });
    return (["tunnelled", "intercepted"] as const).flatMap((way) => [
      row("egress-connect", "new HTTPS connection and GET in the guest", own, way),
      row("egress-connect-curl", "`curl https://…` in the guest, whole process", curls, way),
    ]);
  },
};

function onEachWay<T>(make: (way: Way) => T): Record<Way, T> {
  return { plain: make("plain"), tunnelled: make("tunnelled"), intercepted: make("intercepted") };
}

/** Where the time of a connection goes. */
function describeSteps(way: string, all: readonly ConnectSteps[]): string {
  const parts = (["lookup", "connect", "tls", "get"] as const).map(
    (step) => `${step} ${summarize(all.map((each) => each[step])).median.toFixed(1)}`,
  );
  return `connection, ${way}, medians in ms: ${parts.join(", ")}`;
}
