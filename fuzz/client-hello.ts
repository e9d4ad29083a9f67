/**
 * Fuzzes what reads the first bytes of a guest's connection as TLS. Fails when anything is thrown, when the cutting of
 * the input changes the verdict, when a verdict is taken back, or when a name comes out that no host can have.
 */
import assert from "node:assert/strict";
import { ClientHelloScanner, type HelloVerdict, MAX_HELLO_BYTES } from "../src/egress/tls/client-hello.ts";
import { type SecondHelloVerdict, SecondHelloWatch } from "../src/egress/tls/second-hello.ts";
import { helloMessage, records } from "../test/unit/egress-tls/client-hello-samples.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const NAMES = ["a.example", "A.EXAMPLE.", "", ".", "a..b", "x".repeat(64), "a\0b", "xn--4ca.example", "127.0.0.1"];
/** As much as can be held without a verdict: the message, and a header for each record. */
const MAX_UNDECIDED_BYTES = MAX_HELLO_BYTES + 65 * 5 + 16_384;

/** Runs `iterations` inputs that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("client-hello");
  for (const [at, input] of corpus.entries()) tryInput(input, new SeededRandom(at), seed, -1 - at);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    tryInput(makeInput(random, corpus), random, seed, iteration);
  }
}

function tryInput(input: Buffer, random: SeededRandom, seed: number, iteration: number): void {
  try {
    const whole = new ClientHelloScanner().scan(input);
    check(whole, input);
    assert.deepEqual(scanInPieces(random.cut(input)), whole);
    assert.deepEqual(watchInPieces(random.cut(input)), watchInPieces([input]));
  } catch (error) {
    throw fuzzFailure("client-hello", seed, iteration, input, error);
  }
}

function check(verdict: HelloVerdict, input: Buffer): void {
  if (verdict.kind === "more") assert.ok(input.length <= MAX_UNDECIDED_BYTES, "undecided after too much");
  const [type = 22, majorVersion = 3] = input;
  if (type < 20 || type > 24) assert.equal(verdict.kind, "other");
  else if (type !== 22) assert.ok(verdict.kind !== "hello" && (majorVersion !== 3 || verdict.kind !== "other"));
  if (verdict.kind !== "hello" || verdict.hello.serverName === null) return;
  assert.match(verdict.hello.serverName, /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/);
  assert.ok(input.toString("latin1").length >= verdict.hello.serverName.length);
}

function scanInPieces(pieces: Buffer[]): HelloVerdict {
  const scanner = new ClientHelloScanner();
  let soFar = Buffer.alloc(0);
  let verdict = scanner.scan(soFar);
  for (const piece of pieces) {
    soFar = Buffer.concat([soFar, piece]);
    const next = scanner.scan(soFar);
    if (verdict.kind !== "more") assert.equal(next, verdict);
    verdict = next;
  }
  return verdict;
}

/** As if the input came after a first hello. */
function watchInPieces(pieces: Buffer[]): SecondHelloVerdict | null {
  const watch = new SecondHelloWatch();
  for (const piece of pieces) {
    const verdict = watch.onClient(piece);
    if (verdict !== null) return verdict;
  }
  return null;
}

function makeInput(random: SeededRandom, corpus: Buffer[]): Buffer {
  switch (random.below(6)) {
    case 0:
      return random.bytes(random.below(200));
    case 1:
      return random.mutate(random.pick(corpus));
    case 2:
      return Buffer.concat([Buffer.of(22, 3, random.below(5)), random.bytes(random.below(600))]);
    case 3: {
      const hello = makeHello(random);
      return Buffer.concat([hello.subarray(0, random.below(hello.length + 1)), random.bytes(random.below(40))]);
    }
    case 4:
      return random.mutate(makeHello(random));
    default:
      return makeHello(random);
  }
}

function makeHello(random: SeededRandom): Buffer {
  const names = Array.from({ length: 1 + (random.chance(10) ? random.below(3) : 0) }, () => {
    const name = Buffer.from(random.pick(NAMES), "latin1");
    return [random.chance(95) ? 0 : random.below(3), random.chance(90) ? name : random.mutate(name)] as const;
  });
  const extensions = Array.from({ length: random.below(4) }, () => {
    const type = random.pick([0, 16, 43, 51, 0xfe0d, random.below(65_536)]);
    return [type, random.bytes(random.below(random.chance(5) ? 20_000 : 60))] as const;
  });
  const message = helloMessage({
    ...(random.chance(80) ? { names } : {}),
    ...(random.chance(50) ? { alpn: ["h2", "http/1.1"].slice(random.below(2)) } : {}),
    extensions: random.chance(70) ? [] : extensions,
  });
  const damaged = random.chance(20) ? random.mutate(message) : message;
  return records(damaged, random.chance(60) ? 16_384 : 1 + random.below(200));
}
