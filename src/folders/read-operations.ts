/** Requests that change nothing: names, attributes, contents, listings. */
import {
  type BigIntStats,
  constants,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsync,
  opendirSync,
  openSync,
  readlinkSync,
  readSync,
  statfsSync,
} from "node:fs";
import { open as openFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { Folder, Operation } from "./folder.ts";
import { codeOf, FuseError } from "./fuse-error.ts";
import {
  DIRENT_BYTES,
  ENTRY_BYTES,
  FOPEN_KEEP_CACHE,
  FSYNC_DATA,
  GETATTR_HANDLE,
  MAX_IO_BYTES,
  OPEN,
  OUT_HEADER_BYTES,
} from "./fuse-protocol.ts";
import { identityOf } from "./host-tree.ts";
import { type Node, wayTo } from "./node-table.ts";
import {
  absentReply,
  attrReply,
  bytesReply,
  entryReply,
  openReply,
  reply,
  statfsReply,
  writeEntry,
  writeU64,
  type Entry,
} from "./reply.ts";

const syncFile = promisify(fsync);
const syncData = promisify(fdatasync);

/** File types of a directory's entries (d_type), by those of a mode. */
const TYPE_SHIFT = 12n;
const DT_DIRECTORY = 4;
const SET_ID_BITS = 0o6000n;
const MODE_BITS = 0o7777n;
/** Names in one directory that are listed, at most. */
const MAX_LISTED = 500_000;
const LIST_BUFFER = 256;

/** Tells the guest's kernel of an inode, which makes it a node that it will forget some day. */
export function meet(folder: Folder, parent: Node, name: string, stats: BigIntStats): Entry {
  const node = folder.nodes.meet(identityOf(stats), { parent, name }, stats.isDirectory());
  return { nodeId: node.id, stats };
}

export const lookup: Operation = (folder, { unique, nodeId, body }) => {
  const parent = folder.nodes.get(nodeId);
  const name = body.name();
  let stats: BigIntStats;
  try {
    stats = folder.tree.look(parent, name);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    return absentReply(unique);
  }
  return entryReply(unique, meet(folder, parent, name, stats), folder.owner);
};

export const getattr: Operation = (folder, { unique, nodeId, body }) => {
  const node = folder.nodes.get(nodeId);
  const flags = body.u32();
  body.skip(4);
  const handle = body.u64();
  return attrReply(unique, attributes(folder, node, (flags & GETATTR_HANDLE) !== 0 ? handle : 0), folder.owner);
};

/** What an open file says of itself counts where its name is gone. */
export function attributes(folder: Folder, node: Node, handle: number): BigIntStats {
  if (handle !== 0 && !node.isDirectory) return fstatSync(folder.files.get(handle).fd, { bigint: true });
  try {
    return folder.tree.stat(node);
  } catch (error) {
    const open = folder.files.anyOf(node);
    if (open === undefined) throw error;
    return fstatSync(open.fd, { bigint: true });
  }
}

export const readlink: Operation = (folder, { unique, nodeId }) => {
  const node = folder.nodes.get(nodeId);
  return bytesReply(unique, readlinkSync(folder.tree.place(node), { encoding: "buffer" }));
};

export const open: Operation = (folder, { unique, nodeId, body }) => {
  const node = folder.nodes.get(nodeId);
  return openReply(unique, ...openNode(folder, node, body.u32()));
};

/**
 * Opens a regular file that is there.
 *
 * @returns its handle, and flags for the kernel
 * @throws FuseError EACCES for anything that is no regular file: opening may do something to it
 */
export function openNode(folder: Folder, node: Node, flags: number): [handle: number, flags: number] {
  if (node.isDirectory) throw new FuseError("EISDIR");
  const mode = flags & OPEN.accessMode;
  const writable = mode === OPEN.writeOnly || mode === OPEN.readWrite;
  const truncates = (flags & OPEN.truncate) !== 0;
  if (folder.readOnly && (writable || truncates)) throw new FuseError("EROFS");
  const access = { writable, readable: mode !== OPEN.writeOnly };
  let handle = 0;
  let keep = 0;
  folder.tree.pinned(node, (path, stats) => {
    if (!stats.isFile()) throw new FuseError("EACCES");
    handle = folder.files.add(node, access, () => openSync(path, mode | constants.O_NOCTTY | constants.O_NONBLOCK));
    // Root may write to a program that has such bits and leave them on it.
    if (writable && (stats.mode & SET_ID_BITS) !== 0n) dropSetId(folder, handle, stats);
    const seen = `${stats.mtimeNs}:${stats.ctimeNs}:${stats.size}`;
    if (node.seen === seen) keep = FOPEN_KEEP_CACHE;
    node.seen = seen;
  });
  if (writable) folder.risks.wrote(wayTo(node).map(({ name }) => name));
  return [handle, keep];
}

/** Where it may not, as one who may write to a file of somebody else, nothing is open. */
function dropSetId(folder: Folder, handle: number, { mode }: BigIntStats): void {
  try {
    fchmodSync(folder.files.get(handle).fd, Number(mode & ~SET_ID_BITS & MODE_BITS));
  } catch (error) {
    folder.files.release(handle);
    throw error;
  }
}

export const read: Operation = (folder, { unique, body }) => {
  const { fd, readable } = folder.files.get(body.u64());
  const offset = body.u64();
  const size = body.u32();
  if (!readable) throw new FuseError("EBADF");
  if (size > MAX_IO_BYTES || Number.isNaN(offset)) throw new FuseError("EINVAL");
  const out = Buffer.allocUnsafe(OUT_HEADER_BYTES + size);
  let filled = OUT_HEADER_BYTES;
  // The kernel takes a short answer for the end of the file.
  while (filled < out.length) {
    const bytes = readSync(fd, out, filled, out.length - filled, offset + filled - OUT_HEADER_BYTES);
    if (bytes === 0) break;
    filled += bytes;
  }
  out.writeUInt32LE(filled, 0);
  out.writeInt32LE(0, 4);
  unique.copy(out, 8);
  return out.subarray(0, filled);
};

/** On a thread of its own: a disk takes its time for this, and the sandbox's other business goes on. */
export const sync: Operation = async (folder, { unique, body }) => {
  const answer = reply(Buffer.from(unique), 0);
  const { fd } = folder.files.get(body.u64());
  if ((body.u32() & FSYNC_DATA) !== 0) await syncData(fd);
  else await syncFile(fd);
  return answer;
};

export const syncDirectory: Operation = async (folder, { unique, nodeId }) => {
  const answer = reply(Buffer.from(unique), 0);
  const path = folder.tree.directory(folder.nodes.get(nodeId));
  await using directory = await openFile(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
  return answer;
};

export const statfs: Operation = (folder, { unique }) => {
  const numbers = statfsSync(folder.tree.directory(folder.nodes.root));
  const { bsize: blockBytes, blocks, bfree, bavail, files, ffree } = numbers;
  const allowed = folder.readOnly ? 0 : Math.floor(folder.quota.freeBytes / blockBytes);
  return statfsReply(unique, {
    ...{ blockBytes, blocks, files },
    free: Math.min(bfree, allowed),
    available: Math.min(bavail, allowed),
    freeFiles: folder.readOnly ? 0 : Math.min(ffree, folder.quota.freeFiles),
  });
};

export const release: Operation = (folder, { unique, body }) => {
  folder.files.release(body.u64());
  return reply(unique, 0);
};

export const openDirectory: Operation = (folder, { unique, nodeId }) => {
  const node = folder.nodes.get(nodeId);
  if (!node.isDirectory) throw new FuseError("ENOTDIR");
  folder.tree.directory(node);
  return openReply(unique, folder.files.addDirectory(node), 0);
};

export const releaseDirectory: Operation = (folder, { unique, body }) => {
  folder.files.releaseDirectory(body.u64());
  return reply(unique, 0);
};

export const readDirectory: Operation = (folder, request) => listDirectory(folder, request, false);

/** As {@link readDirectory}, with what a lookup of each name would have answered. */
export const readDirectoryPlus: Operation = (folder, request) => listDirectory(folder, request, true);

function listDirectory(folder: Folder, { unique, body }: Parameters<Operation>[1], withEntries: boolean): Buffer {
  const directory = folder.files.getDirectory(body.u64());
  const offset = body.u64();
  const size = body.u32();
  if (size > MAX_IO_BYTES || Number.isNaN(offset)) throw new FuseError("EINVAL");
  const { node } = directory;
  const path = folder.tree.directory(node);
  const names =
    offset === 0 || directory.names === undefined
      ? folder.files.fill(directory, (limit) => listNames(path, Math.min(limit, MAX_LISTED)))
      : directory.names;
  const out = Buffer.alloc(OUT_HEADER_BYTES + size);
  let at = OUT_HEADER_BYTES;
  for (let index = offset; index < names.length + 2; index++) {
    const name = index === 0 ? "." : index === 1 ? ".." : (names[index - 2] ?? "");
    const fixed = (withEntries ? ENTRY_BYTES : 0) + DIRENT_BYTES;
    const length = fixed + Math.ceil(name.length / 8) * 8;
    if (at + length > out.length) break;
    const stats = index < 2 ? undefined : tryLook(folder, node, name);
    // It has just gone, or it is not shared.
    if (index >= 2 && stats === undefined) continue;
    if (withEntries && stats !== undefined) tryMeet(folder, node, name, stats, out.subarray(at, at + ENTRY_BYTES));
    const dirent = at + fixed - DIRENT_BYTES;
    out.writeBigUInt64LE(stats?.ino ?? 1n, dirent);
    writeU64(out, dirent + 8, index + 1);
    out.writeUInt32LE(name.length, dirent + 16);
    out.writeUInt32LE(stats === undefined ? DT_DIRECTORY : Number((stats.mode >> TYPE_SHIFT) & 15n), dirent + 20);
    out.write(name, dirent + DIRENT_BYTES, "latin1");
    at += length;
  }
  out.writeUInt32LE(at, 0);
  unique.copy(out, 8);
  return out.subarray(0, at);
}

/** Without room for another node the entry stays empty, and the kernel asks for the name if it is wanted. */
function tryMeet(folder: Folder, parent: Node, name: string, stats: BigIntStats, out: Buffer): void {
  try {
    writeEntry(out, 0, meet(folder, parent, name, stats), folder.owner);
  } catch (error) {
    if (!(error instanceof FuseError)) throw error;
  }
}

function tryLook(folder: Folder, directory: Node, name: string): BigIntStats | undefined {
  try {
    return folder.tree.look(directory, name);
  } catch {
    // Gone, or not ours to show: it is not listed.
    return undefined;
  }
}

/** @throws FuseError EOVERFLOW where there are too many */
function listNames(path: string, limit: number): string[] {
  // @types/node has no latin1 here, which Node takes: one character a byte.
  using directory = opendirSync(path, { encoding: "latin1" as BufferEncoding, bufferSize: LIST_BUFFER });
  const names: string[] = [];
  for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
    if (names.length >= limit) throw new FuseError("EOVERFLOW");
    names.push(entry.name);
  }
  return names;
}
