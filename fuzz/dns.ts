/**
 * Fuzzes what answers the guest's lookups: datagrams, and the same bytes as a TCP stream in any pieces. Fails when
 * anything throws, when an answer is not well formed or too long, when a name that is not allowed has a record, when the
 * cutting of a stream changes what is answered, or when the audit or the names grow without bounds.
 */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { Resolver } from "../src/egress/dns/resolver.ts";
import { serveDnsStream } from "../src/egress/dns/stream-server.ts";
import { SyntheticNames } from "../src/egress/dns/synthetic-names.ts";
import { buildPolicy, draftRule } from "../src/policy/build-policy.ts";
import { Policy } from "../src/policy/policy.ts";
import { query, readReply, TYPES, wireLabel, words } from "../test/unit/egress-dns/dns-message.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const ALLOWED = /^(?:a\.test|(?:[a-z0-9_][a-z0-9_-]*\.)+example\.com|(?:.*\.)?localhost|.*\.arpa)$/is;
const NAMES = [
  ...["a.test", "A.Test", "x.example.com", "x.y.example.com", "example.com", "b.test", "localhost", "x.localhost", ""],
  ...["1.0.18.198.in-addr.arpa", "1.0.0.127.in-addr.arpa", "in-addr.arpa", "xn--bcher-kva.example.com", "127.0.0.1"],
  `${"x".repeat(63)}.example.com`,
];
const MAX_NAMES = 64;

/** Runs the corpus, then `iterations` messages that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("dns");
  const target = openTarget();
  for (const [at, input] of corpus.entries()) await tryInput(target, input, new SeededRandom(at), seed, -1 - at);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    await tryInput(target, makeInput(random, corpus), random, seed, iteration);
  }
}

interface Target {
  resolver: Resolver;
  names: SyntheticNames;
  events: number;
  lookups: number;
}

function openTarget(): Target {
  const rules = ["a.test", "*.example.com:443"].map((text) => draftRule("allow", text, { kind: "default" }));
  const policy = new Policy(buildPolicy({ mode: "none", rules, expressions: [] }));
  const names = new SyntheticNames({ maxNames: MAX_NAMES });
  const resolver = new Resolver({
    decideName: (name) => policy.decideName(name),
    names,
    audit: ({ host = "", reason = "" }) => {
      target.events++;
      assert.match(host + reason, /^[\x20-\x7e]*$/);
    },
    // It stands still, so that what is reported is bounded by what may be reported at once.
    now: () => 0,
  });
  const target: Target = { resolver, names, events: 0, lookups: 0 };
  return target;
}

async function tryInput(
  target: Target,
  input: Buffer,
  random: SeededRandom,
  seed: number,
  iteration: number,
): Promise<void> {
  try {
    checkAnswer(target, input, "udp");
    checkAnswer(target, input, "tcp");
    if (iteration < 0 || iteration % 8 === 0) await checkStream(target, input, random);
    assert.ok(target.names.size <= MAX_NAMES);
    assert.ok(target.events <= 50);
  } catch (error) {
    throw fuzzFailure("dns", seed, iteration, input, error);
  }
}

function checkAnswer({ resolver }: Target, input: Buffer, transport: "udp" | "tcp"): void {
  const before = Buffer.from(input);
  const answer = resolver.answer(input, transport);
  assert.deepEqual(input, before);
  if (answer === null) return;
  const reply = readReply(answer);
  assert.equal(reply.id, input.readUInt16BE(0));
  assert.ok(reply.response && !reply.truncated);
  if (transport === "udp") assert.ok(answer.length <= (reply.edns === null ? 512 : 1232));
  if (reply.question.length > 0) {
    assert.deepEqual(reply.question, input.subarray(12, 12 + reply.question.length));
  }
  if (reply.answers.length > 0) assert.match(nameOf(reply.question), ALLOWED);
}

/** Labels joined by dots, and with a mark where one has a dot in it. */
function nameOf(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 0; question.readUInt8(at) !== 0; at += 1 + question.readUInt8(at)) {
    labels.push(question.toString("latin1", at + 1, at + 1 + question.readUInt8(at)).replaceAll(".", "!"));
  }
  return labels.join(".");
}

async function checkStream({ resolver }: Target, input: Buffer, random: SeededRandom): Promise<void> {
  const framed = random.chance(50) ? Buffer.concat([words(input.length & 0xffff), input]) : input;
  const bytes = random.chance(30) ? Buffer.concat([framed, framed]) : framed;
  assert.deepEqual(await talk(resolver, random.cut(bytes)), await talk(resolver, [bytes]));
}

/** What comes back for these pieces. */
async function talk(resolver: Resolver, pieces: readonly Buffer[]): Promise<string[]> {
  const [guest, host] = duplexPair();
  const answers: string[] = [];
  guest.on("error", () => undefined).resume();
  const served = serveDnsStream(host, (message) => {
    const answer = resolver.answer(message, "tcp");
    answers.push(answer?.toString("hex") ?? "");
    return answer;
  });
  for (const piece of pieces) if (piece.length > 0) guest.write(piece);
  guest.end();
  await served;
  guest.destroy();
  return answers;
}

function makeInput(random: SeededRandom, corpus: Buffer[]): Buffer {
  switch (random.below(6)) {
    case 0:
      return random.bytes(random.below(80));
    case 1:
      return random.mutate(random.pick(corpus));
    case 2:
      return makeQuery(random);
    case 3:
      return makeQuery(random).subarray(0, random.below(60));
    default:
      return random.mutate(makeQuery(random));
  }
}

function makeQuery(random: SeededRandom): Buffer {
  const name = random.chance(70) ? random.pick(NAMES) : makeName(random);
  return query(name, {
    id: random.below(0x1_0000),
    flags: random.chance(90) ? 0x0100 : random.below(0x1_0000),
    type: random.chance(80) ? random.pick(Object.values(TYPES)) : random.below(0x1_0000),
    class: random.chance(90) ? 1 : random.below(0x1_0000),
    ...(random.chance(60) ? { edns: random.below(0x1_0000), ednsVersion: random.chance(90) ? 0 : 1 } : {}),
    dnssec: random.chance(20),
  });
}

/** Labels of any bytes, sometimes too long, sometimes with a pointer for an end. */
function makeName(random: SeededRandom): Buffer {
  const labels = Array.from({ length: random.below(8) }, () => {
    const bytes = random.bytes(1 + random.below(random.chance(10) ? 63 : 8));
    return wireLabel(random.chance(60) ? Buffer.from(bytes.map((byte) => 0x61 + (byte % 26))) : bytes);
  });
  const end = random.chance(80) ? Buffer.from([0]) : Buffer.from([0xc0 | random.below(64), random.below(256)]);
  const tail = random.chance(50) ? Buffer.from("\x07example\x03com", "latin1") : Buffer.alloc(0);
  return Buffer.concat([...labels, tail, end]);
}
