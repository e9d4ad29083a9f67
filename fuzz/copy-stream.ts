/**
 * Fuzzes the receiving end of copies: random, structured and mutated streams are unpacked into a directory beside
 * things that must stay as they are. Deterministic for a seed. Fails with the seed, the iteration and the stream when
 * anything but an SbxError comes out, when something outside of the destination changes, or when an incomplete file
 * stays behind.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ENTRY_TYPES, RECORD_KINDS } from "../src/runtime/copy/copy-records.ts";
import { resolveDestination } from "../src/runtime/copy/destination.ts";
import { Relay } from "../src/runtime/copy/relay.ts";
import { unpack } from "../src/runtime/copy/unpack.ts";
import { SbxError } from "../src/runtime/errors.ts";

export interface FuzzOptions {
  seed: number;
  iterations: number;
}

const NAMES = [
  "a",
  "b",
  "dir",
  "link",
  "..",
  ".",
  "",
  "outside",
  "secret",
  "x".repeat(255),
  "x".repeat(256),
  "\xff\xfe",
];
const LINKS = ["../outside", "/", "..", ".", "a", "dir", "../outside/secret", "link/secret", "/proc/self/cwd"];

/** Unpacks `iterations` streams that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  for (let iteration = 0; iteration < iterations; iteration++) {
    const random = new Random(seed * 1_000_003 + iteration);
    const stream = makeStream(random);
    try {
      await tryStream(stream, random);
    } catch (error) {
      const repro = `seed ${seed}, iteration ${iteration}, stream (base64) ${stream.toString("base64")}`;
      throw new Error(`copy-stream: ${repro}`, { cause: error });
    }
  }
}

async function tryStream(stream: Buffer, random: Random): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), "sbx-fuzz-copy-"));
  try {
    mkdirSync(join(base, "outside/deep"), { recursive: true });
    writeFileSync(join(base, "outside/secret"), "secret");
    mkdirSync(join(base, "destination/dir"), { recursive: true });
    symlinkSync("../outside", join(base, "destination/link"));
    const before = describe(join(base, "outside"));
    const destination = join(base, "destination", random.pick(["", "", "new", "link/new", "dir/"]));
    const contentsOnly = random.chance(0.2);
    const outcome = await receive(stream, destination, contentsOnly, 1 + random.below(stream.length + 1));
    const isOutside = destination.includes("link");
    if (!isOutside) assert.deepEqual(describe(join(base, "outside")), before);
    assert.deepEqual(readdirSync(base).sort(), ["destination", "outside"]);
    assertComplete(Buffer.from(base));
    // What may be unpacked may be relayed, and the other way round as far as the format goes.
    if (outcome === "accepted") await relay(stream);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

async function receive(stream: Buffer, destination: string, contentsOnly: boolean, cut: number): Promise<string> {
  try {
    await unpack(chunksOf(stream, cut), resolveDestination(destination, false), { contentsOnly });
    return "accepted";
  } catch (error) {
    assert.ok(error instanceof SbxError, `not an SbxError: ${String(error)}`);
    assert.notEqual(error.code, "internal");
    return error.code;
  }
}

async function relay(stream: Buffer): Promise<void> {
  const passed: Buffer[] = [];
  for await (const chunk of new Relay().pass(chunksOf(stream, 7))) passed.push(chunk);
  assert.ok(Buffer.concat(passed).equals(stream));
}

async function* chunksOf(stream: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < stream.length; at += length) yield stream.subarray(at, at + length);
}

/** Records that make sense, records that nearly do, noise; then perhaps a few bytes changed or the end cut off. */
function makeStream(random: Random): Buffer {
  const records: Buffer[] = [];
  const count = random.below(12);
  for (let index = 0; index < count; index++) records.push(makeRecord(random));
  if (random.chance(0.8)) records.push(record(RECORD_KINDS.end, Buffer.alloc(0)));
  const stream = Buffer.concat(records);
  if (random.chance(0.3)) {
    for (let change = 0; change <= random.below(4) && stream.length > 0; change++) {
      stream[random.below(stream.length)] = random.below(256);
    }
  }
  return random.chance(0.1) ? stream.subarray(0, random.below(stream.length + 1)) : stream;
}

function makeRecord(random: Random): Buffer {
  const path = makePath(random);
  switch (random.below(9)) {
    case 0:
    case 1:
      return entry(random, ENTRY_TYPES.directory, path, "", 0);
    case 2:
      return entry(random, ENTRY_TYPES.symlink, path, random.pick(LINKS), 0);
    case 3:
      return entry(random, ENTRY_TYPES.hardLink, path, makePath(random), 0);
    case 4:
      return record(random.below(8), random.bytes(random.below(40)));
    case 5:
      return random.bytes(random.below(20));
    default:
      return makeFile(random, path);
  }
}

function makeFile(random: Random, path: string): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (let part = random.below(4); part > 0; part--) {
    const bytes = random.below(200);
    size += bytes;
    if (random.chance(0.3)) {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(bytes));
      parts.push(record(RECORD_KINDS.hole, length));
    } else parts.push(record(RECORD_KINDS.data, random.bytes(bytes)));
  }
  if (random.chance(0.1)) size += random.pick([-1, 1, 2 ** 40]);
  const head = entry(random, ENTRY_TYPES.file, path, "", Math.max(0, size));
  return Buffer.concat([head, ...parts, record(RECORD_KINDS.endOfFile, Buffer.alloc(0))]);
}

function makePath(random: Random): string {
  const parts = [random.pick(NAMES)];
  while (parts.length < 5 && random.chance(0.4)) parts.push(random.pick(NAMES));
  return parts.join("/");
}

function entry(random: Random, type: number, path: string, link: string, size: number): Buffer {
  const payload = Buffer.alloc(25 + path.length + link.length);
  payload.writeUInt8(type, 0);
  payload.writeUInt32LE(random.pick([0o644, 0o755, 0, 0o7777, 0o100644]), 1);
  payload.writeBigInt64LE(random.pick([0n, -1n, 1_600_000_000_000n, 2n ** 62n, -(2n ** 62n)]), 5);
  payload.writeBigUInt64LE(BigInt(size), 13);
  payload.writeUInt16LE(path.length, 21);
  payload.write(path, 23, "latin1");
  payload.writeUInt16LE(link.length, 23 + path.length);
  payload.write(link, 25 + path.length, "latin1");
  return record(RECORD_KINDS.entry, payload);
}

function record(kind: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(kind, 0);
  header.writeUInt32LE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/** No temporary name anywhere, without following links; opens up every directory on the way, so that it can go. */
function assertComplete(directory: Buffer): void {
  chmodSync(directory, 0o700);
  for (const name of readdirSync(directory, { encoding: "buffer" })) {
    assert.ok(!name.toString("latin1").startsWith(".sbx-copy-"), `left behind: ${name.toString("latin1")}`);
    const path = Buffer.concat([directory, Buffer.from("/"), name]);
    if (lstatSync(path).isDirectory()) assertComplete(path);
  }
}

function describe(directory: string): string[] {
  return [
    ".",
    ...readdirSync(directory).sort(),
    ...readdirSync(join(directory, "deep")).map((name) => `deep/${name}`),
  ].map((name) => {
    const path = join(directory, name);
    const stats = lstatSync(path);
    const content = stats.isFile() ? readFileSync(path, "hex") : stats.isSymbolicLink() ? readlinkSync(path) : "";
    return `${name} ${stats.mode} ${stats.nlink} ${stats.mtimeMs} ${content}`;
  });
}

/** A small generator of numbers that are the same for the same seed (mulberry32). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit) | 0;
  }

  chance(probability: number): boolean {
    return this.below(1_000_000) < probability * 1_000_000;
  }

  pick<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error("nothing to pick from");
    return value;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
