/**
 * A guest's kernel, scripted: makes FUSE requests byte by byte and reads the answers. It follows no rule that a test
 * does not want it to.
 */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { FolderServer, type FolderOptions } from "../../../src/folders/folder-server.ts";
import { OP } from "../../../src/folders/fuse-protocol.ts";
import { RequestDecoder } from "../../../src/folders/request.ts";

export const OWNER = { uid: 1000, gid: 1001 };
export const ROOT = 1;

export interface Attributes {
  ino: bigint;
  size: number;
  blocks: number;
  mtimeNs: bigint;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
}

export interface Entry extends Attributes {
  nodeId: number;
}

export interface Answer {
  /** Name of the errno, or `null`. */
  error: string | null;
  body: Buffer;
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

export class GuestKernel implements Disposable {
  readonly server: FolderServer;
  #unique = 1;

  constructor(hostPath: string, options: Partial<FolderOptions> = {}) {
    const quota = { bytes: 64 * 1024 ** 2, files: 1000 };
    this.server = new FolderServer({ hostPath, readOnly: false, quota, owner: OWNER, ...options });
  }

  /** Sends one request; undefined where the server gives no answer. */
  async send(opcode: number, nodeId: number, ...fields: Buffer[]): Promise<Answer | undefined> {
    const answer = await this.sendRaw(request(opcode, nodeId, this.#unique, ...fields));
    if (answer === undefined) return undefined;
    assert.equal(Number(answer.readBigUInt64LE(8)), this.#unique++);
    return readAnswer(answer);
  }

  async sendRaw(packet: Buffer): Promise<Buffer | undefined> {
    const [parsed, ...more] = [...new RequestDecoder().push(packet)];
    assert.ok(parsed !== undefined && more.length === 0);
    return this.server.handle(parsed);
  }

  /** The answer's body. @throws AssertionError if the request failed */
  async must(opcode: number, nodeId: number, ...fields: Buffer[]): Promise<Buffer> {
    const answer = await this.send(opcode, nodeId, ...fields);
    assert.ok(answer !== undefined, "there is no answer");
    assert.equal(answer.error, null);
    return answer.body;
  }

  /** The name of the errno that a request fails with; `null` if it does not. */
  async errorOf(opcode: number, nodeId: number, ...fields: Buffer[]): Promise<string | null> {
    const answer = await this.send(opcode, nodeId, ...fields);
    assert.ok(answer !== undefined, "there is no answer");
    return answer.error;
  }

  async lookup(parent: number, name: string): Promise<Entry> {
    return readEntry(await this.must(OP.lookup, parent, text(name)));
  }

  /** The node at the end of a path of names; `null` where a name leads nowhere. */
  async walk(...names: string[]): Promise<Entry | null> {
    let entry: Entry | null = null;
    let nodeId = ROOT;
    for (const name of names) {
      const answer = await this.send(OP.lookup, nodeId, text(name));
      if (answer?.error !== null) return null;
      entry = readEntry(answer.body);
      if (entry.nodeId === 0) return null;
      nodeId = entry.nodeId;
    }
    return entry;
  }

  async attributes(nodeId: number, handle = 0): Promise<Attributes> {
    const flags = handle === 0 ? 0 : 1;
    return readAttributes(await this.must(OP.getattr, nodeId, u32(flags, 0), u64(handle)), 16);
  }

  async open(nodeId: number, flags = 0): Promise<number> {
    return Number((await this.must(OP.open, nodeId, u32(flags, 0))).readBigUInt64LE(0));
  }

  async create(parent: number, name: string, { flags = 2, mode = 0o644 } = {}): Promise<Entry & { handle: number }> {
    const body = await this.must(OP.create, parent, u32(flags | 0o100, 0o100000 | mode, 0o22, 0), text(name));
    return { ...readEntry(body), handle: Number(body.readBigUInt64LE(128)) };
  }

  async read(handle: number, offset: number, size: number, nodeId = 0): Promise<Buffer> {
    return this.must(OP.read, nodeId, u64(handle, offset), u32(size, 0), u64(0), u32(0, 0));
  }

  writeFields(handle: number, offset: number, bytes: Buffer, size = bytes.length): Buffer[] {
    return [u64(handle, offset), u32(size, 0), u64(0), u32(0, 0), bytes];
  }

  async write(handle: number, offset: number, bytes: Buffer | string): Promise<number> {
    const body = await this.must(OP.write, 0, ...this.writeFields(handle, offset, Buffer.from(bytes)));
    return body.readUInt32LE(0);
  }

  /** All names in a directory, read in pieces of `size`. */
  async list(nodeId: number, { size = 4096, plus = false } = {}): Promise<string[]> {
    const handle = Number((await this.must(OP.opendir, nodeId, u32(0, 0))).readBigUInt64LE(0));
    const names: string[] = [];
    for (let offset = 0; ;) {
      const opcode = plus ? OP.readdirplus : OP.readdir;
      const body = await this.must(opcode, nodeId, u64(handle, offset), u32(size, 0), u64(0), u32(0, 0));
      if (body.length === 0) break;
      for (let at = 0; at < body.length;) {
        const dirent = plus ? at + 128 : at;
        const length = body.readUInt32LE(dirent + 16);
        offset = Number(body.readBigUInt64LE(dirent + 8));
        names.push(body.toString("latin1", dirent + 24, dirent + 24 + length));
        at = dirent + 24 + Math.ceil(length / 8) * 8;
      }
    }
    await this.must(OP.releasedir, nodeId, u64(handle), u32(0, 0), u64(0));
    return names;
  }

  async release(handle: number): Promise<void> {
    await this.must(OP.release, 0, u64(handle), u32(0, 0), u64(0));
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
  }
}

/** A whole request with the right length. */
export function request(opcode: number, nodeId: number, unique: number, ...fields: Buffer[]): Buffer {
  const body = Buffer.concat(fields);
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40 + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(BigInt(unique), 8);
  header.writeBigUInt64LE(BigInt(nodeId), 16);
  header.writeUInt32LE(1000, 24);
  header.writeUInt32LE(1000, 28);
  header.writeUInt32LE(123, 32);
  return Buffer.concat([header, body]);
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, index * 4);
  return bytes;
}

export function u64(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), index * 8);
  return bytes;
}

export function text(...names: string[]): Buffer {
  return Buffer.concat(names.map((name) => Buffer.from(`${name}\0`, "latin1")));
}

export interface Change {
  valid: number;
  handle?: number;
  size?: number;
  atime?: number;
  mtime?: number;
  mtimeNs?: number;
  mode?: number;
  uid?: number;
  gid?: number;
}

export function setattr(change: Change): Buffer[] {
  const { valid, handle = 0, size = 0, atime = 0, mtime = 0, mtimeNs = 0, mode = 0, uid = 0, gid = 0 } = change;
  return [u32(valid, 0), u64(handle, size, 0, atime, mtime, 0), u32(0, mtimeNs, 0, mode, 0, uid, gid, 0)];
}

export function readAnswer(answer: Buffer): Answer {
  assert.equal(answer.readUInt32LE(0), answer.length, "an answer says how long it is");
  const errno = -answer.readInt32LE(4);
  const error = errno === 0 ? null : (ERRNO_NAMES.get(errno) ?? String(errno));
  return { error, body: answer.subarray(16) };
}

export function readEntry(body: Buffer): Entry {
  return { nodeId: Number(body.readBigUInt64LE(0)), ...readAttributes(body, 40) };
}

function readAttributes(body: Buffer, at: number): Attributes {
  return {
    ino: body.readBigUInt64LE(at),
    size: Number(body.readBigUInt64LE(at + 8)),
    blocks: Number(body.readBigUInt64LE(at + 16)),
    mtimeNs: body.readBigInt64LE(at + 32) * 1_000_000_000n + BigInt(body.readUInt32LE(at + 52)),
    mode: body.readUInt32LE(at + 60),
    nlink: body.readUInt32LE(at + 64),
    uid: body.readUInt32LE(at + 68),
    gid: body.readUInt32LE(at + 72),
  };
}
