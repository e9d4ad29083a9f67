/**
 * Fuzzes what reads the guest: the frame decoder, the search for the HELLO, and a whole link with calls and streams
 * open. Fails when anything but SbxError `agent_protocol` comes out, when the cutting of the input changes what is
 * decoded, or when a link neither works nor says why it ended.
 */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { finished } from "node:stream/promises";
import { openAgentLink } from "../src/guest/agent-link.ts";
import type { AgentLink } from "../src/guest/link.ts";
import {
  encodeCredit,
  encodeFrame,
  encodeFrameHeader,
  encodeJsonFrame,
  FRAME,
  FrameDecoder,
  type FrameType,
  MAX_DATA_BYTES,
} from "../src/protocol/agent-frames.ts";
import { HelloScanner } from "../src/protocol/agent-hello.ts";
import { parseEvent, parseFailure, parseReply } from "../src/protocol/agent-replies.ts";
import { SbxError } from "../src/runtime/errors.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const TYPES = Object.values(FRAME);
const HELLO = encodeJsonFrame(FRAME.hello, 0, { protocol: 1, agent: "a", arch: "amd64", kernel: "6" });
const STAT_REPLY = {
  ok: {
    type: "file",
    size: 1,
    mode: 0o644,
    dev: 1,
    ino: 1,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 1,
    blocks: 1,
    atime: 0,
    mtime: 0,
    ctime: 0,
    birthtime: 0,
  },
};
const PAYLOADS: unknown[] = [
  { ok: null },
  STAT_REPLY,
  { ok: { pid: 5 } },
  { ok: [{ name: "a", type: "file" }] },
  { error: { code: "ENOENT", message: "no", path: "/x" } },
  { code: "EIO", message: "broken" },
  { event: "oom", pid: 5, comm: "x" },
  { event: "log", level: "info", message: "hello" },
  { protocol: 1 },
  [],
  null,
  { ok: { __proto__: { pid: 1 } } },
];

/** Runs `iterations` inputs that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("agent-frames");
  for (const [at, input] of corpus.entries()) await tryInput(input, new SeededRandom(at), seed, -1 - at);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    await tryInput(makeInput(random, corpus), random, seed, iteration);
  }
}

async function tryInput(input: Buffer, random: SeededRandom, seed: number, iteration: number): Promise<void> {
  try {
    checkDecoder(input, random);
    checkScanner(input, random);
    checkParsers(input);
    if (iteration < 0 || iteration % 4 === 0) await checkLink(input, random);
  } catch (error) {
    throw fuzzFailure("agent-frames", seed, iteration, input, error);
  }
}

function makeInput(random: SeededRandom, corpus: Buffer[]): Buffer {
  switch (random.below(5)) {
    case 0:
      return random.bytes(random.below(200));
    case 1:
      return random.mutate(random.pick(corpus));
    case 2:
      return random.mutate(makeFrames(random));
    case 3: {
      const frames = makeFrames(random);
      return frames.subarray(0, random.below(frames.length + 1));
    }
    default:
      return makeFrames(random);
  }
}

function makeFrames(random: SeededRandom): Buffer {
  return Buffer.concat(Array.from({ length: 1 + random.below(8) }, () => makeFrame(random)));
}

function makeFrame(random: SeededRandom): Buffer {
  const type: FrameType = random.pick(TYPES);
  const id = random.chance(80) ? random.below(8) : random.next();
  switch (type) {
    case FRAME.data:
      return encodeFrame(type, id, random.bytes(1 + random.below(random.chance(5) ? MAX_DATA_BYTES : 300)));
    case FRAME.credit:
      return encodeCredit(id, random.next());
    case FRAME.cancel:
    case FRAME.end:
    case FRAME.stop:
      return encodeFrameHeader(type, id, 0);
    default:
      return encodeJsonFrame(type, id, random.pick(PAYLOADS));
  }
}

interface Decoded {
  frames: string[];
  data: string[];
  error: string | undefined;
}

/** What the pieces decode to; parts of one DATA frame are put together again. */
function decode(pieces: Buffer[]): Decoded {
  const decoded: Decoded = { frames: [], data: [], error: undefined };
  let open = "";
  const decoder = new FrameDecoder({
    frame: (type, id, payload) => {
      assert.notEqual(type, FRAME.data);
      decoded.frames.push(`${type} ${id} ${payload.toString("latin1")}`);
      open = "";
    },
    data: (id, part) => {
      assert.ok(part.length > 0);
      const before = open === String(id) ? (decoded.data.pop() ?? "") : "";
      decoded.data.push(before + part.toString("latin1"));
      open = String(id);
    },
  });
  try {
    for (const piece of pieces) decoder.push(piece);
  } catch (error) {
    assertViolation(error);
    decoded.error = error.message;
  }
  return decoded;
}

function checkDecoder(input: Buffer, random: SeededRandom): void {
  assert.deepEqual(decode(random.cut(input)), decode([input]));
}

function checkScanner(input: Buffer, random: SeededRandom): void {
  const scanner = new HelloScanner();
  try {
    for (const piece of random.cut(input)) if (scanner.push(piece) !== undefined) return;
    // Debris that announces a long HELLO may keep it waiting; a HELLO behind it is found all the same.
    assert.ok(scanner.push(HELLO) !== undefined);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assertViolation(error);
  }
}

/** Payload parsers may throw anything that is an Error, and nothing else. */
function checkParsers(input: Buffer): void {
  for (const parse of [
    () => parseReply("fs.stat", input),
    () => parseReply("exec", input),
    () => parseReply("fs.readDir", input),
    () => parseFailure(input),
    () => parseEvent(input),
  ]) {
    try {
      parse();
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  }
}

async function checkLink(input: Buffer, random: SeededRandom): Promise<void> {
  const [host, guest] = duplexPair();
  guest.on("error", () => undefined);
  guest.resume();
  const opening = openAgentLink(host);
  guest.write(HELLO);
  await using link = await opening;
  const readable = link.openReadable();
  const writable = link.openWritable();
  if (random.chance(50)) readable.resume();
  writable.write(random.bytes(1 + random.below(300)));
  const calls = openCalls(link, readable.streamId, writable.streamId);
  for (const piece of random.cut(input)) guest.write(piece);
  await new Promise((resolve) => setImmediate(resolve));
  if (!guest.writableNeedDrain) await new Promise((resolve) => setImmediate(resolve));
  await link[Symbol.asyncDispose]();
  const reason = await link.closed;
  if (reason !== undefined) assertViolation(reason);
  for (const outcome of await Promise.all(calls)) {
    if (outcome instanceof Error) assert.ok(["SbxError", "AgentError"].includes(outcome.name), outcome.name);
  }
  assert.ok(writable.destroyed);
  // What the guest had sent whole may still be read; either way it comes to an end.
  await finished(readable.resume()).catch(() => undefined);
}

function openCalls(link: AgentLink, read: number, write: number): Promise<unknown>[] {
  const exec = { argv: ["x"], env: {}, cwd: "/", user: "app", pty: null, stdin: write, stdout: read, stderr: null };
  return [
    link.call("exec", exec),
    link.call("fs.stat", { path: "/", user: "app" }),
    link.call("fs.readDir", { path: "/", user: "app" }),
    link.call("sync", {}),
  ].map((call: Promise<unknown>) => call.catch((error: unknown) => error));
}

function assertViolation(error: unknown): asserts error is SbxError {
  if (!(error instanceof SbxError) || error.code !== "agent_protocol") {
    throw new Error("not a protocol violation", { cause: error });
  }
}
