/** Answers to the guest's kernel. */
import type { BigIntStats } from "node:fs";
import {
  ATTR_BYTES,
  ATTR_OUT_BYTES,
  ENTRY_BYTES,
  FUSE_MAJOR,
  FUSE_MINOR,
  MAX_IO_BYTES,
  MAX_PAGES,
  NOTIFY_INVALIDATE_ENTRY,
  OUT_HEADER_BYTES,
} from "./fuse-protocol.ts";

/**
 * How long the guest's kernel believes what it was told of a name or file, `ns`. What changes on the host is seen
 * after that; without it every step of every path would be asked for.
 */
const VALID_NS = 500_000_000;
const MAX_READAHEAD_BYTES = 1024 * 1024;
/** Requests that the kernel has under way at a time without a process waiting for each. */
const MAX_BACKGROUND = 64;

/** Who everything in a folder belongs to, as the guest sees it. */
export interface Owner {
  uid: number;
  gid: number;
}

/** An answer with room for `bytes` of payload behind its header. */
export function reply(unique: Buffer, bytes: number): Buffer {
  const out = Buffer.alloc(OUT_HEADER_BYTES + bytes);
  out.writeUInt32LE(out.length, 0);
  unique.copy(out, 8);
  return out;
}

export function errorReply(unique: Buffer, errno: number): Buffer {
  const out = reply(unique, 0);
  out.writeInt32LE(-errno, 4);
  return out;
}

export function initReply(unique: Buffer, flags: number): Buffer {
  const out = reply(unique, 64);
  out.writeUInt32LE(FUSE_MAJOR, 16);
  out.writeUInt32LE(FUSE_MINOR, 20);
  out.writeUInt32LE(MAX_READAHEAD_BYTES, 24);
  out.writeUInt32LE(flags, 28);
  out.writeUInt16LE(MAX_BACKGROUND, 32);
  out.writeUInt16LE((MAX_BACKGROUND * 3) / 4, 34);
  out.writeUInt32LE(MAX_IO_BYTES, 36);
  out.writeUInt32LE(1, 40);
  out.writeUInt16LE(MAX_PAGES, 44);
  return out;
}

export interface Entry {
  nodeId: number;
  stats: BigIntStats;
}

export function entryReply(unique: Buffer, entry: Entry, owner: Owner): Buffer {
  const out = reply(unique, ENTRY_BYTES);
  writeEntry(out, OUT_HEADER_BYTES, entry, owner);
  return out;
}

/** There is no such name, and the kernel may believe that for as long as anything else. */
export function absentReply(unique: Buffer): Buffer {
  const out = reply(unique, ENTRY_BYTES);
  out.writeUInt32LE(VALID_NS, OUT_HEADER_BYTES + 32);
  return out;
}

/** CREATE is answered with an entry and an open file in one. */
export function createReply(unique: Buffer, entry: Entry, owner: Owner, handle: number): Buffer {
  const out = reply(unique, ENTRY_BYTES + 16);
  writeEntry(out, OUT_HEADER_BYTES, entry, owner);
  writeU64(out, OUT_HEADER_BYTES + ENTRY_BYTES, handle);
  return out;
}

export function attrReply(unique: Buffer, stats: BigIntStats, owner: Owner): Buffer {
  const out = reply(unique, ATTR_OUT_BYTES);
  out.writeUInt32LE(VALID_NS, OUT_HEADER_BYTES + 8);
  writeAttr(out, OUT_HEADER_BYTES + 16, stats, owner);
  return out;
}

export function openReply(unique: Buffer, handle: number, flags: number): Buffer {
  const out = reply(unique, 16);
  writeU64(out, OUT_HEADER_BYTES, handle);
  out.writeUInt32LE(flags, OUT_HEADER_BYTES + 8);
  return out;
}

export function writeReply(unique: Buffer, written: number): Buffer {
  const out = reply(unique, 8);
  out.writeUInt32LE(written, OUT_HEADER_BYTES);
  return out;
}

export function bytesReply(unique: Buffer, bytes: Buffer): Buffer {
  const out = reply(unique, bytes.length);
  bytes.copy(out, OUT_HEADER_BYTES);
  return out;
}

export interface FileSystemNumbers {
  blockBytes: number;
  blocks: number;
  free: number;
  available: number;
  files: number;
  freeFiles: number;
}

export function statfsReply(unique: Buffer, numbers: FileSystemNumbers): Buffer {
  const out = reply(unique, 80);
  const { blocks, free, available, files, freeFiles, blockBytes } = numbers;
  for (const [index, value] of [blocks, free, available, files, freeFiles].entries()) {
    writeU64(out, OUT_HEADER_BYTES + index * 8, value);
  }
  out.writeUInt32LE(blockBytes, OUT_HEADER_BYTES + 40);
  out.writeUInt32LE(255, OUT_HEADER_BYTES + 44);
  out.writeUInt32LE(blockBytes, OUT_HEADER_BYTES + 48);
  return out;
}

/** A message that answers nothing: the kernel is to forget a name, and with it what it believes of the file. */
export function forgetName(parentId: number, name: string): Buffer {
  const bytes = Buffer.from(`${name}\0`, "latin1");
  const out = Buffer.alloc(OUT_HEADER_BYTES + 16 + bytes.length);
  out.writeUInt32LE(out.length, 0);
  out.writeInt32LE(NOTIFY_INVALIDATE_ENTRY, 4);
  writeU64(out, OUT_HEADER_BYTES, parentId);
  out.writeUInt32LE(bytes.length - 1, OUT_HEADER_BYTES + 8);
  bytes.copy(out, OUT_HEADER_BYTES + 16);
  return out;
}

/** The generation stays 0: node ids are never used twice. */
export function writeEntry(out: Buffer, at: number, { nodeId, stats }: Entry, owner: Owner): void {
  writeU64(out, at, nodeId);
  out.writeUInt32LE(VALID_NS, at + 32);
  out.writeUInt32LE(VALID_NS, at + 36);
  writeAttr(out, at + ENTRY_BYTES - ATTR_BYTES, stats, owner);
}

function writeAttr(out: Buffer, at: number, stats: BigIntStats, { uid, gid }: Owner): void {
  out.writeBigUInt64LE(stats.ino, at);
  out.writeBigUInt64LE(stats.size, at + 8);
  out.writeBigUInt64LE(stats.blocks, at + 16);
  for (const [index, ns] of [stats.atimeNs, stats.mtimeNs, stats.ctimeNs].entries()) {
    const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    out.writeBigInt64LE((ns - rest) / 1_000_000_000n, at + 24 + index * 8);
    out.writeUInt32LE(Number(rest), at + 48 + index * 4);
  }
  out.writeUInt32LE(Number(stats.mode), at + 60);
  out.writeUInt32LE(Math.min(Number(stats.nlink), 0xffff_ffff), at + 64);
  out.writeUInt32LE(uid, at + 68);
  out.writeUInt32LE(gid, at + 72);
  out.writeUInt32LE(Number(stats.blksize & 0xffff_ffffn), at + 80);
}

export function writeU64(out: Buffer, at: number, value: number): void {
  out.writeUInt32LE(value >>> 0, at);
  out.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
