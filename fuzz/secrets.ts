/**
 * Fuzzes what reads messages for secrets, both ways: the guest's heads and bodies, and an upstream's. `{P}` in an input
 * stands for the placeholder and `{V}` for the value, written in one way or another. Fails when anything is thrown that
 * may not be, when the cutting of a body changes what is done with it, when a value gets to a host that it does not
 * belong to, into a body next to a header or into the guest, and when a line break gets into a head.
 */
import assert from "node:assert/strict";
import { Readable, type Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { brotliCompressSync, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { FieldLines, RequestHead } from "../src/egress/http-heads.ts";
import { createSecrets } from "../src/egress/secrets/create-secrets.ts";
import { Needle } from "../src/egress/secrets/needle.ts";
import { NeedleSearch } from "../src/egress/secrets/needle-search.ts";
import { LeakError, type Secrets } from "../src/egress/secrets/secrets.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const OWN = "api.example.com";
const VALUES = ["sk-0123456789abcdefghij", 'v/+&"\\=é %41%2f', "00000001", "aaaaaaaab", "\\u0041\\u0042\\\\"];
const CODERS: Readonly<Record<string, (data: Buffer) => Buffer>> = {
  gzip: gzipSync,
  deflate: deflateRawSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
};
const TYPES = [
  "application/json",
  "application/x-www-form-urlencoded",
  "text/html",
  "application/grpc",
  "",
  "text/plain",
];
const WRITERS: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => encodeURIComponent(text),
  (text) => Buffer.from(text).toString("hex").replace(/../g, "%$&"),
  (text) => JSON.stringify(text).slice(1, -1),
  (text) => Buffer.from(text).toString("base64"),
  (text) => Buffer.from(`:${text}`).toString("base64"),
  (text) => Buffer.from(`u:${text}`).toString("base64url"),
  (text) => Buffer.from(text).toString("hex"),
  (text) => text.replace(/[&"]/g, (character) => `&#${character.charCodeAt(0)};`),
];

interface Subject {
  secrets: Secrets;
  placeholder: string;
  value: string;
  search: NeedleSearch<null>;
  placeholders: NeedleSearch<null>;
}

const subjects: readonly Subject[] = VALUES.map((value) => {
  const secrets = createSecrets({
    grants: [{ name: "KEY", hosts: [{ host: OWN, port: null, scheme: "https" }] }],
    onLeak: "block",
    report: () => undefined,
  });
  secrets.setValue("KEY", value);
  const placeholder = secrets.grants[0]?.placeholder ?? "";
  const search = new NeedleSearch([new Needle(value, null, { anyCase: false, coded: true })]);
  const placeholders = new NeedleSearch([new Needle(placeholder, null, { anyCase: true, coded: true })]);
  return { secrets, placeholder, value, search, placeholders };
});

/** Runs `iterations` inputs that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("secrets");
  for (const [at, input] of corpus.entries()) await tryInput(input, new SeededRandom(at), seed, -1 - at);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    const input = random.chance(20) ? random.bytes(random.below(300)) : random.mutate(random.pick(corpus));
    await tryInput(input, random, seed, iteration);
  }
}

async function tryInput(input: Buffer, random: SeededRandom, seed: number, iteration: number): Promise<void> {
  const subject = random.pick(subjects);
  const data = fillIn(input, subject, random);
  try {
    checkHeads(data, subject);
    await checkRequestBody(data, subject, random);
    await checkResponseBody(data, subject, random);
    if (iteration < 0 || iteration % 8 === 0) await checkCodedGarbage(input, subject, random);
  } catch (error) {
    throw fuzzFailure("secrets", seed, iteration, input, error);
  }
}

function fillIn(input: Buffer, { placeholder, value }: Subject, random: SeededRandom): Buffer {
  const text = input.toString("latin1").replace(/\{([PV])\}/g, (_, letter: string) => {
    const written = random.pick(WRITERS)(letter === "P" ? placeholder : value);
    const part = random.chance(80) ? written : written.slice(random.below(9), -random.below(9) - 1);
    return Buffer.from(part).toString("latin1");
  });
  return Buffer.from(text, "latin1");
}

function request(host: string, fields: FieldLines = [], target = "/"): RequestHead {
  return { method: "POST", scheme: "https", host, port: 443, target, fields };
}

function checkHeads(data: Buffer, subject: Subject): void {
  const { secrets, search } = subject;
  // What the parsers of HTTP let through.
  const lines = data.toString("latin1").split(/[\0-\x08\x0a-\x1f\x7f]+/);
  const fields = lines.slice(1).map((line, index) => {
    const [name = "", value = ""] = line.split(":", 2);
    return [name === "" ? `x-${index}` : name, value] as const;
  });
  for (const host of [OWN, "other.example.org"]) {
    const outgoing = secrets.openRequest(request(host, fields, `/${lines[0] ?? ""}`));
    outgoing.body()?.destroy();
    const text = [outgoing.head.target, ...outgoing.head.fields.flat()].join("");
    assert.ok(!/[\r\n\0]/.test(text), "a control character in a head");
    const leaves = host !== OWN && !outgoing.blocked && search.occursIn(Buffer.from(allParts(outgoing.head), "latin1"));
    assert.ok(!leaves, "a value leaves for another host");
  }
  const incoming = secrets.openResponse(request(OWN), { status: 200, fields });
  incoming.body()?.destroy();
  assertNoValue(Buffer.from(incoming.head.fields.flat().join("\n"), "latin1"), subject);
}

/** What an upstream cut off may go on in the placeholder behind it, in any form: that is the placeholder's, no value. */
function assertNoValue(received: Buffer, { placeholders, search }: Subject): void {
  const rest: Buffer[] = [];
  let from = 0;
  for (;;) {
    const found = placeholders.find(received, from, true);
    if (found?.kind !== "match") break;
    rest.push(received.subarray(from, found.start), Buffer.from("*"));
    from = found.end;
  }
  rest.push(received.subarray(from));
  assert.ok(!search.occursIn(Buffer.concat(rest)), "a value comes in");
}

function allParts({ target, fields }: RequestHead): string {
  return [target, ...fields.flat()].join("\n");
}

async function checkRequestBody(
  data: Buffer,
  { secrets, placeholder, search }: Subject,
  random: SeededRandom,
): Promise<void> {
  const [coding, coder] = random.pick([...Object.entries(CODERS), ["", null] as const]);
  const fields: FieldLines = [
    ["content-type", random.pick(TYPES)],
    ["content-encoding", coding],
  ];
  const sent = coder === null ? data : coder(data);
  const credentials: FieldLines = [...fields, ["authorization", `Bearer ${random.pick(WRITERS)(placeholder)}`]];
  const knowing = secrets.openRequest(request(OWN, credentials));
  if (knowing.used.length > 0) {
    const { output, error } = await run(knowing.body(), random.cut(sent));
    assert.ok(error !== "" || output.equals(sent), "a body gets the value next to a header");
  }
  for (const host of [OWN, "other.example.org"]) {
    const open = (): Transform | null => secrets.openRequest(request(host, fields)).body();
    const whole = await run(open(), [sent]);
    const pieces = await run(open(), random.cut(sent));
    assert.equal(pieces.error, whole.error, "cutting changes whether a body passes");
    if (whole.error === "") assert.ok(pieces.output.equals(whole.output), "cutting changes a body");
    if (host === OWN) continue;
    assert.ok(whole.error !== "" || whole.output.equals(sent), "a body for another host is changed");
    assert.ok(whole.error !== "" || !search.occursIn(data), "a value leaves for another host");
  }
}

async function checkResponseBody(data: Buffer, subject: Subject, random: SeededRandom): Promise<void> {
  const { secrets } = subject;
  const [coding, coder] = random.pick([...Object.entries(CODERS), ["", null] as const]);
  const type = random.pick(TYPES.filter((known) => known !== "application/grpc"));
  const fields: FieldLines = [
    ["content-type", type],
    ["content-encoding", coding],
  ];
  const sent = coder === null ? data : coder(data);
  const open = (): Transform | null => secrets.openResponse(request(OWN), { status: 200, fields }).body();
  const whole = await run(open(), [sent]);
  const pieces = await run(open(), random.cut(sent));
  assert.equal(whole.error, "");
  assert.ok(pieces.output.equals(whole.output), "cutting changes a response");
  assertNoValue(whole.output, subject);
}

/** What is not what it says it is ends with an error or an end. */
async function checkCodedGarbage(data: Buffer, subject: Subject, random: SeededRandom): Promise<void> {
  const { secrets } = subject;
  const [coding, coder] = random.pick(Object.entries(CODERS));
  const garbage = random.chance(50) ? data : random.mutate(coder(data));
  const fields: FieldLines = [["content-encoding", random.chance(80) ? coding : `${coding}, gzip`]];
  const incoming = await run(secrets.openResponse(request(OWN), { status: 200, fields }).body(), random.cut(garbage));
  assertNoValue(incoming.output, subject);
  for (const host of [OWN, "other.example.org"]) {
    await run(secrets.openRequest(request(host, fields)).body(), random.cut(garbage));
  }
}

async function run(body: Transform | null, chunks: Buffer[]): Promise<{ output: Buffer; error: string }> {
  if (body === null) return { output: Buffer.concat(chunks), error: "" };
  const output: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      output.push(chunk);
      done();
    },
  });
  try {
    await pipeline(Readable.from(chunks), body, sink);
    return { output: Buffer.concat(output), error: "" };
  } catch (error) {
    assert.ok(error instanceof Error);
    return { output: Buffer.concat(output), error: error instanceof LeakError ? "leak" : error.message };
  }
}
