/**
 * Fuzzes the server behind a mounted directory with whole sessions of a guest's kernel: valid, damaged and made-up
 * requests in any order, while the host changes its directory, too. Fails when anything is thrown, when an answer is not
 * one, when anything outside of the directory changes or is read, when something special is made, or when the quota is
 * exceeded.
 */
import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { OP } from "../src/folders/fuse-protocol.ts";
import { BrokenStream, RequestDecoder } from "../src/folders/request.ts";
import { GuestKernel, request, setattr, text, u32, u64 } from "../test/unit/folders/guest-kernel.ts";
import { type FuzzOptions, fuzzFailure } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const TOKEN = "0f4e1c-outside-token";
const REQUESTS = 60;
const QUOTA = { bytes: 1024 * 1024, files: 40 };
const GOOD_NAMES = ["a", "b", "dir", "link", "file", "secret"];
const BAD_NAMES = ["x".repeat(255), "x".repeat(256), "\xff\xfe", "..", ".", "", "a/b", "../outside/secret"];
/** The requests that most of a session is made of. */
const COMMON = [OP.lookup, OP.lookup, OP.create, OP.mkdir, OP.rename, OP.open, OP.open, OP.write, OP.write, OP.setattr];
const OPCODES = [...Object.values(OP), 21, 22, 31, 34, 43, 46, 52, 4711];
/** Requests that are answered with an entry, whose node the kernel may use from then on. */
const WITH_ENTRY: readonly number[] = [OP.lookup, OP.create, OP.mknod, OP.mkdir, OP.symlink, OP.link];

/** Runs `iterations` sessions that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const base = mkdtempSync(path.join(tmpdir(), "sbx-fuzz-folder-"));
  try {
    // A session is some sixty requests.
    for (let iteration = 0; iteration < Math.ceil(iterations / REQUESTS); iteration++) {
      await runSession(base, new SeededRandom(seed * 1_000_003 + iteration), seed, iteration);
    }
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

async function runSession(base: string, random: SeededRandom, seed: number, iteration: number): Promise<void> {
  const host = path.join(base, "shared");
  const outside = path.join(base, "outside");
  prepare(host, outside);
  const before = describe(outside);
  const elsewhere = path.join(base, "elsewhere");
  rmSync(elsewhere, { recursive: true, force: true });
  let taken = namesIn(elsewhere);
  using kernel = new GuestKernel(host, { quota: QUOTA, readOnly: random.chance(10), nodes: { soft: 8, hard: 24 } });
  const sent: Buffer[] = [];
  const given: Given = { nodes: [1, 1, 1], handles: [] };
  try {
    for (let step = 0; step < REQUESTS; step++) {
      if (random.chance(8)) {
        disturb(base, host, random);
        taken = namesIn(elsewhere);
      }
      const packet = makeRequest(random, step + 1, given);
      sent.push(packet);
      await exchange(kernel, packet, given);
      assert.equal(namesIn(elsewhere), taken, "a directory that was moved away has changed");
      for (const notice of kernel.server.takeNotices()) assert.equal(notice.readUInt32LE(0), notice.length);
    }
    assert.equal(describe(outside), before, "something outside has changed");
    assert.ok(kernel.server.use().usedBytes <= QUOTA.bytes, "the quota is exceeded");
    checkKinds(Buffer.from(host));
  } catch (error) {
    throw fuzzFailure("folder-requests", seed, iteration, Buffer.concat(sent), error);
  }
}

function namesIn(directory: string): string {
  if (!existsSync(directory)) return "";
  return readdirSync(directory, { encoding: "latin1" as BufferEncoding })
    .sort()
    .join("/");
}

/** Links are not followed, which `recursive` of Node's readdir does. */
function checkKinds(directory: Buffer): void {
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: "buffer" })) {
    assert.ok(entry.isFile() || entry.isDirectory() || entry.isSymbolicLink(), "something special was made");
    const file = Buffer.concat([directory, Buffer.from("/"), entry.name]);
    if (entry.isFile()) assert.equal(lstatSync(file).mode & 0o6000, 0);
    if (entry.isDirectory()) checkKinds(file);
  }
}

/** What the kernel was given: most of what it sends is about that. */
interface Given {
  nodes: number[];
  handles: number[];
}

async function exchange(kernel: GuestKernel, packet: Buffer, given: Given): Promise<void> {
  try {
    for (const parsed of new RequestDecoder().push(packet)) {
      const unique = Buffer.from(parsed.unique);
      const answer = await kernel.server.handle(parsed);
      if (answer === undefined) continue;
      assert.equal(answer.readUInt32LE(0), answer.length);
      assert.ok(answer.subarray(8, 16).equals(unique));
      const error = answer.readInt32LE(4);
      assert.ok(error <= 0 && error > -4096);
      if (error !== 0) assert.equal(answer.length, 16);
      assert.ok(!answer.includes(TOKEN), "something outside was read");
      if (error === 0) keep(given, parsed.opcode, answer);
    }
  } catch (error) {
    if (!(error instanceof BrokenStream)) throw error;
  }
}

function keep({ nodes, handles }: Given, opcode: number, answer: Buffer): void {
  if (WITH_ENTRY.includes(opcode)) nodes.push(Number(answer.readBigUInt64LE(16)));
  if (opcode === OP.create) handles.push(Number(answer.readBigUInt64LE(16 + 128)));
  if (opcode === OP.open || opcode === OP.opendir) handles.push(Number(answer.readBigUInt64LE(16)));
}

/** What the host's other programs do to the directory meanwhile. */
function disturb(base: string, host: string, random: SeededRandom): void {
  const elsewhere = path.join(base, "elsewhere");
  const name = path.join(host, random.pick(["a", "dir", "file", "dir/a", "dir/b"]));
  try {
    // What it does itself must not follow a link either.
    if (!lstatSync(path.dirname(name)).isDirectory()) return;
    switch (random.below(5)) {
      case 3:
        // Out of the directory, with whatever the guest's kernel knows of it.
        rmSync(elsewhere, { recursive: true, force: true });
        if (lstatSync(name).isDirectory()) renameSync(name, elsewhere);
        break;
      case 0:
        rmSync(name, { recursive: true, force: true });
        break;
      case 1:
        renameSync(name, path.join(host, random.pick(["b", "moved"])));
        break;
      case 2:
        rmSync(name, { recursive: true, force: true });
        symlinkSync(path.join(base, random.pick(["outside", "outside/secret"])), name);
        break;
      default:
        mkdirSync(name);
    }
  } catch {
    // It is not there, or already is.
  }
}

function makeRequest(random: SeededRandom, unique: number, given: Given): Buffer {
  const opcode = random.chance(60) ? random.pick(COMMON) : random.pick(OPCODES);
  const node = (): number => (random.chance(90) ? random.pick(given.nodes) : random.below(2 ** 20));
  const handle = (): number =>
    random.chance(90) && given.handles.length > 0 ? random.pick(given.handles) : random.below(2 ** 20);
  const packet = request(opcode, node(), unique, ...fieldsOf(opcode, random, { node, handle }));
  if (random.chance(90)) return packet;
  const damaged = random.mutate(packet);
  if (damaged.length >= 40 && random.chance(80)) damaged.writeUInt32LE(damaged.length, 0);
  return damaged;
}

function fieldsOf(
  opcode: number,
  random: SeededRandom,
  { node, handle }: { node: () => number; handle: () => number },
): Buffer[] {
  const name = (): Buffer => text(random.pick(random.chance(85) ? GOOD_NAMES : BAD_NAMES));
  const mode = (): number => random.pick([0o100644, 0o106777, 0o010644, 0o020644, 0o040755, 0o7777]);
  const offset = (): number => random.pick([0, 1, 4096, 2 ** 30, 2 ** 52]);
  switch (opcode) {
    case OP.lookup:
    case OP.unlink:
    case OP.rmdir:
      return [name()];
    case OP.forget:
      return [u64(random.below(3))];
    case OP.batchForget:
      return [u32(random.below(4), 0), u64(node(), 1, node(), 1)];
    case OP.getattr:
      return [u32(random.below(2), 0), u64(handle())];
    case OP.setattr: {
      const times = { atime: random.below(2 ** 31), mtime: random.below(2 ** 31) };
      const ids = random.chance(80) ? { uid: 1000, gid: 1001 } : { uid: random.below(3), gid: 0 };
      const size = offset();
      return setattr({ valid: random.below(512), handle: handle(), size, mode: mode(), ...times, ...ids });
    }
    case OP.symlink:
      return [name(), text(random.pick(["../outside/secret", "/etc/passwd", "", "x".repeat(5000)]))];
    case OP.mknod:
      return [u32(mode(), 0x0103, 0, 0), name()];
    case OP.mkdir:
      return [u32(mode(), 0), name()];
    case OP.rename:
      return [u64(node()), name(), name()];
    case OP.rename2:
      return [u64(node()), u32(random.chance(80) ? 0 : 2, 0), name(), name()];
    case OP.link:
      return [u64(node()), name()];
    case OP.create:
      return [u32(random.pick([0o101, 0o102, 0o301, 0o1102]), mode(), 0, 0), name()];
    case OP.open:
    case OP.opendir:
      return [u32(random.pick([0, 1, 2, 3, 0o1001, 0o2001]), 0)];
    case OP.write: {
      const data = random.bytes(random.below(3000));
      return [u64(handle(), offset()), u32(random.chance(95) ? data.length : 5, 0), u64(0), u32(0, 0), data];
    }
    case OP.init:
      return [u32(7, random.pick([41, 31, 12]), 131_072, random.below(2 ** 31))];
    default:
      return [u64(handle(), offset()), u32(random.pick([0, 100, 4096, 2 ** 31]), 0), u64(0), u32(0, 0)];
  }
}

function prepare(host: string, outside: string): void {
  for (const directory of [host, outside]) rmSync(directory, { recursive: true, force: true });
  mkdirSync(path.join(host, "dir", "b"), { recursive: true });
  mkdirSync(path.join(outside, "dir"), { recursive: true });
  writeFileSync(path.join(outside, "secret"), TOKEN);
  writeFileSync(path.join(outside, "dir", "file"), TOKEN);
  writeFileSync(path.join(host, "file"), "inside");
  writeFileSync(path.join(host, "dir", "a"), "inside");
  symlinkSync("../outside", path.join(host, "link"));
}

function describe(outside: string): string {
  const names = readdirSync(outside, { recursive: true, encoding: "utf8" }).sort();
  return names
    .map((name) => {
      const file = path.join(outside, name);
      const { mode, nlink, mtimeMs } = lstatSync(file);
      const isFile = lstatSync(file).isFile();
      return `${name} ${mode} ${isFile ? nlink : 0} ${mtimeMs} ${isFile ? readFileSync(file, "latin1") : ""}`;
    })
    .join("\n");
}
