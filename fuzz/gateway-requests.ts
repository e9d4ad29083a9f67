/**
 * Fuzzes what cuts a client's bytes into requests before a sandbox's HTTP gateway. Fails when anything but a refusal is
 * thrown, when the cutting of the bytes changes what is judged or passed, when a byte is passed that was not sent or out
 * of order, and when Node's own parser finds another request in what was passed than those that were judged.
 */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { duplexPair } from "node:stream";
import { HeadError } from "../src/gateway/request-head.ts";
import { RequestReader } from "../src/gateway/request-reader.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

interface Result {
  judged: string[];
  passed: string;
  refused: string | undefined;
  upgraded: boolean;
}

/** Runs the corpus, then `iterations` inputs that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("gateway-requests");
  for (const [at, input] of corpus.entries()) await tryInput(input, new SeededRandom(at), seed, -1 - at);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    const parts = Array.from({ length: 1 + random.below(3) }, () => random.pick(corpus));
    const joined = Buffer.concat(parts.map((part) => (random.chance(30) ? random.mutate(part) : part)));
    await tryInput(random.chance(70) ? random.mutate(joined) : joined, random, seed, iteration);
  }
}

async function tryInput(input: Buffer, random: SeededRandom, seed: number, iteration: number): Promise<void> {
  try {
    const whole = read([input]);
    assert.ok(input.toString("latin1").startsWith(whole.passed), "what is passed was sent");
    const pieces = read(random.cut(input));
    // Of a request that turns out to be malformed in its body, the pieces before that have gone on.
    const passed = whole.refused === undefined ? whole.passed : pieces.passed;
    assert.ok(passed.startsWith(whole.passed) && input.toString("latin1").startsWith(passed));
    assert.deepEqual(pieces, { ...whole, passed });
    if (whole.judged.length > 0 && !whole.upgraded) await compareWithNode(whole);
  } catch (error) {
    throw fuzzFailure("gateway-requests", seed, iteration, input, error);
  }
}

function read(pieces: readonly Buffer[]): Result {
  const result: Result = { judged: [], passed: "", refused: undefined, upgraded: false };
  const reader = new RequestReader(({ method, target, host }) => {
    result.judged.push(`${method} ${target} ${host ?? ""}`);
  });
  for (const piece of pieces) {
    const { passed, upgrade, refused } = reader.read(piece);
    result.passed += passed?.toString("latin1") ?? "";
    if (refused !== undefined) {
      assert.ok(refused instanceof HeadError, String(refused));
      result.refused = refused.message;
      return result;
    }
    if (upgrade !== undefined) {
      result.upgraded = true;
      return result;
    }
  }
  return result;
}

/** A server may refuse more than the gateway does, but what it takes must be what was judged. */
async function compareWithNode({ judged, passed }: Result): Promise<void> {
  const served: string[] = [];
  const server: Server = createServer((request, response) => {
    served.push(`${request.method ?? ""} ${request.url ?? ""} ${request.headers.host?.toLowerCase() ?? ""}`);
    request.resume();
    response.end();
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  server.on("upgrade", (_request, socket) => socket.destroy());
  const [near, far] = duplexPair();
  near.on("error", () => undefined);
  far.on("error", () => undefined);
  near.resume();
  const closed = new Promise((resolve) => far.once("close", resolve));
  server.emit("connection", far);
  near.end(passed, "latin1");
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 20))]);
  near.destroy();
  far.destroy();
  assert.deepEqual(served, judged.slice(0, served.length));
}
