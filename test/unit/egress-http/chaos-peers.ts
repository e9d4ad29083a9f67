/**
 * A guest and an upstream that end their HTTP/2 streams at any moment, in a process of their own: the same bugs of Node's
 * that the interceptor has to stay clear of may end this one.
 */
import { once } from "node:events";
import { connect, constants, type Http2Stream, type ServerHttp2Stream } from "node:http2";
import { connect as connectTls } from "node:tls";
import { HOST, upstreamAuthority } from "./harness.ts";
import { http2Server } from "./servers.ts";

export interface Task {
  clientPort: number;
  ca: string;
  rounds: number;
}

const CODES = [
  constants.NGHTTP2_NO_ERROR,
  constants.NGHTTP2_CANCEL,
  constants.NGHTTP2_INTERNAL_ERROR,
  constants.NGHTTP2_REFUSED_STREAM,
];
const STREAMS = 30;
const MAX_WRITE_BYTES = 150_000;

const random = randomFrom(Number(process.argv[2]));
const upstream = await http2Server();
upstream.server.on("stream", serve);
process.on("message", (task: Task) => void run(task));
process.send?.({ port: upstream.port, ca: upstreamAuthority.certificatePem });

async function run({ clientPort, ca, rounds }: Task): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const socket = connectTls({ host: "127.0.0.1", port: clientPort, servername: HOST, ca, ALPNProtocols: ["h2"] });
    await once(socket, "secureConnect");
    const session = connect(`https://${HOST}`, { createConnection: () => socket });
    session.on("error", () => undefined);
    const ends = Array.from({ length: STREAMS }, () => {
      const stream = session.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: random(2) === 0 });
      misbehave(stream, () => undefined);
      return new Promise((resolve) => stream.once("close", resolve));
    });
    await Promise.race([Promise.all(ends), new Promise((resolve) => setTimeout(resolve, 300))]);
    if (random(2) === 0) socket.destroy();
    else session.destroy();
  }
  process.send?.("done");
}

function serve(stream: ServerHttp2Stream): void {
  misbehave(stream, () => {
    if (!stream.headersSent) stream.respond({ ":status": 200 }, { waitForTrailers: random(2) === 0 });
    if (random(300) === 0) stream.session?.destroy();
  });
}

function misbehave(stream: Http2Stream, before: () => void): void {
  stream.on("error", () => undefined);
  stream.on("wantTrailers", () => {
    if (!stream.destroyed && !stream.closed) stream.sendTrailers(random(2) === 0 ? {} : { "x-end": "1" });
  });
  if (random(3) > 0) stream.resume();
  const act = (): void => {
    if (random(4) > 0) before();
    if (stream.destroyed || stream.closed) return;
    const choice = random(9);
    if (choice === 0) stream.close(CODES[random(CODES.length)]);
    else if (choice === 1) stream.destroy();
    else if (choice < 6) stream.write(Buffer.alloc(random(MAX_WRITE_BYTES)));
    else stream.end();
    setTimeout(act, random(4));
  };
  act();
}

/** Mulberry32: the same sequence for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
