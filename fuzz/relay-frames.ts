/**
 * Fuzzes the relay between a client and a sandbox: frames of any length in any pieces from the sandbox, any bytes from the
 * client, and a server that says goodbye at any moment to a sandbox that ends its streams or does not. Fails when a byte is
 * changed, lost or out of order, when what a client was told is not whole frames with one Close behind them, and when an
 * end stays open.
 */
import assert from "node:assert/strict";
import { duplexPair, type Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { Relay } from "../src/server/relay/relay.ts";
import { type FuzzOptions, fuzzFailure } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const HEAD = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
const TRACED = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nx-deno-trace-id: trace\r\n\r\n";
const LENGTHS = [0, 1, 2, 125, 126, 127, 300, 65_535, 65_536, 70_000];
const GOODBYE = 1001;

/** Runs `iterations` conversations that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    const frames = Array.from({ length: random.below(8) }, () => makeFrame(random));
    try {
      await converse(random, frames);
    } catch (error) {
      throw fuzzFailure("relay-frames", seed, iteration, Buffer.concat(frames), error);
    }
  }
}

function makeFrame(random: SeededRandom): Buffer {
  const length = random.chance(70) ? random.below(200) : random.pick(LENGTHS);
  const opcode = random.pick([0x81, 0x82, 0x01, 0x80, 0x89, 0x8a]);
  const head =
    length < 126
      ? Buffer.from([opcode, length])
      : length < 65_536
        ? Buffer.from([opcode, 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([opcode, 127, 0, 0, 0, 0]), sizeOf(length)]);
  return Buffer.concat([head, random.bytes(length)]);
}

function sizeOf(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

async function converse(random: SeededRandom, frames: Buffer[]): Promise<void> {
  const [client, clientEnd] = duplexPair({ highWaterMark: 1 + random.below(100_000) });
  const [sandbox, sandboxEnd] = duplexPair({ highWaterMark: 1 + random.below(100_000), allowHalfOpen: true });
  const fromSandbox = collect(client);
  const fromClient = collect(sandbox);
  const early = random.bytes(random.below(20));
  const relay = new Relay({ client: clientEnd, early, upstream: sandboxEnd, traceId: "trace" });
  const said = random.bytes(random.below(5000));
  const goodbyeAt = random.chance(60) ? random.below(20) : Infinity;
  const saysClose = random.chance(80);
  const asked = new Promise((resolve) => void sandbox.once("end", resolve));
  const pieces = random.cut(Buffer.concat([Buffer.from(HEAD), ...frames]));
  const words = random.cut(said);
  for (let at = 0; at < Math.max(pieces.length, words.length); at++) {
    if (at === goodbyeAt) relay.close(GOODBYE, "away");
    if (pieces[at] !== undefined) sandbox.write(pieces[at]);
    if (words[at] !== undefined) client.write(words[at]);
    if (random.chance(30)) await turn();
  }
  const isShort = goodbyeAt < Math.max(pieces.length, words.length);
  client.once("end", () => client.end());
  // A sandbox ends streams between two frames.
  void asked.then(() => sandbox.end(saysClose && random.chance(50) ? Buffer.from([0x88, 2, 3, 0xe8]) : undefined));
  if (!isShort) random.pick([() => sandbox.end(), () => client.end(), () => clientEnd.destroy()])();
  if (!saysClose) sandbox.end();
  const awake = setTimeout(() => undefined, 60_000); // the relay's own timers keep no process alive
  await relay.closed;
  clearTimeout(awake);
  check(Buffer.concat(fromSandbox), frames, isShort);
  const heard = Buffer.concat(fromClient);
  assert.ok(Buffer.concat([early, said]).subarray(0, heard.length).equals(heard), "what the client said");
  for (const end of [client, sandbox]) end.destroy();
}

/** Everything that came is what was sent, and behind it at most one Close of the server's, between two frames. */
function check(bytes: Buffer, frames: Buffer[], isShort: boolean): void {
  if (bytes.length === 0) return; // gone before the handshake was answered
  assert.equal(bytes.toString("latin1", 0, TRACED.length), TRACED.slice(0, bytes.length));
  let rest = bytes.subarray(TRACED.length);
  for (const frame of frames) {
    if (rest.length === 0 || isGoodbye(rest)) break;
    const part = rest.subarray(0, frame.length);
    assert.ok(frame.subarray(0, part.length).equals(part), "what the sandbox said");
    rest = rest.subarray(frame.length);
  }
  if (rest.length === 0) return;
  assert.ok(isShort || rest[0] === 0x88, "nothing but a Close behind the last frame");
  assert.equal(rest.length, 2 + (rest[1] ?? 0), "one Close, whole");
}

function isGoodbye(bytes: Buffer): boolean {
  return bytes[0] === 0x88 && bytes.length === 2 + (bytes[1] ?? 0);
}

function collect(stream: Duplex): Buffer[] {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", () => undefined);
  return chunks;
}
