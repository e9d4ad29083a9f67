/**
 * Requests that change the folder. None is let through to a read-only one, whatever the guest's kernel thinks. Modes
 * lose their set-id bits, special files are not made, nothing changes its owner, and what is added is counted.
 */
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import type { Folder, Operation } from "./folder.ts";
import { codeOf, FuseError } from "./fuse-error.ts";
import { MAX_IO_BYTES, MAX_LINK_BYTES, OPEN, SET } from "./fuse-protocol.ts";
import { identityOf } from "./host-tree.ts";
import { type Node, wayTo } from "./node-table.ts";
import { attributes, meet, openNode } from "./read-operations.ts";
import { attrReply, createReply, type Entry, entryReply, openReply, reply, writeReply } from "./reply.ts";
import type { Fields } from "./request.ts";
import { takenBy } from "./write-quota.ts";

const FILE_TYPE_BITS = 0o170000;
const REGULAR = 0o100000;
const FILE_MODE_BITS = 0o777;
/** No set-user-id, no set-group-id. */
const DIRECTORY_MODE_BITS = 0o1777;
const CREATE_FLAGS = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_NOCTTY;

/** Wraps what changes something: a read-only folder refuses it before anything is looked at. */
function changing(operation: Operation): Operation {
  return (folder, request) => {
    if (folder.readOnly) throw new FuseError("EROFS");
    return operation(folder, request);
  };
}

export const create = changing((folder, { unique, nodeId, body }) => {
  const parent = folder.nodes.get(nodeId);
  const flags = body.u32();
  const mode = body.u32() & FILE_MODE_BITS;
  body.skip(8);
  const name = body.name();
  const access = flags & OPEN.accessMode;
  folder.quota.needFile();
  const path = folder.tree.child(parent, name);
  let fd: number;
  try {
    fd = openSync(path, access | CREATE_FLAGS, 0o600);
  } catch (error) {
    if (codeOf(error) !== "EEXIST" || (flags & OPEN.exclusive) !== 0) throw error;
    // The host made it since the guest's kernel looked.
    return openExisting(folder, { parent, name, flags, unique });
  }
  folder.quota.addFiles(1);
  let entry: Entry | undefined;
  try {
    // The guest's mask has been applied; this process has another one.
    fchmodSync(fd, mode);
    noteRisk(folder, parent, name);
    const stats = fstatSync(fd, { bigint: true });
    tookNew(folder, stats);
    entry = meet(folder, parent, name, stats);
    const rights = { writable: access !== 0, readable: access !== OPEN.writeOnly };
    const handle = folder.files.add(folder.nodes.get(entry.nodeId), rights, () => fd);
    return createReply(unique, entry, folder.owner, handle);
  } catch (error) {
    closeSync(fd);
    // The kernel never hears of the node.
    if (entry !== undefined) folder.nodes.forget(entry.nodeId, 1);
    throw error;
  }
});

function openExisting(
  folder: Folder,
  { parent, name, flags, unique }: { parent: Node; name: string; flags: number; unique: Buffer },
): Buffer {
  const entry = meet(folder, parent, name, folder.tree.look(parent, name));
  const node = folder.nodes.get(entry.nodeId);
  try {
    const [handle] = openNode(folder, node, flags);
    if ((flags & OPEN.truncate) !== 0) resize(folder, handle, 0);
    return createReply(unique, { ...entry, stats: attributes(folder, node, handle) }, folder.owner, handle);
  } catch (error) {
    // The kernel never hears of the node.
    folder.nodes.forget(node.id, 1);
    throw error;
  }
}

/** OPEN; where it truncates as well. */
export const openForChange: Operation = (folder, { unique, nodeId, body }) => {
  const flags = body.u32();
  const [handle, keep] = openNode(folder, folder.nodes.get(nodeId), flags);
  if ((flags & OPEN.truncate) === 0) return openReply(unique, handle, keep);
  try {
    resize(folder, handle, 0);
  } catch (error) {
    folder.files.release(handle);
    throw error;
  }
  return openReply(unique, handle, 0);
};

/** Only regular files: a device or a pipe of the guest's making would be one of the host's. */
export const makeNode = changing((folder, { unique, nodeId, body }) => {
  const mode = body.u32();
  body.skip(12);
  const type = mode & FILE_TYPE_BITS;
  if (type !== REGULAR && type !== 0) throw new FuseError("EPERM");
  return made(folder, { unique, parentId: nodeId, name: body.name() }, (path) => {
    const fd = openSync(path, constants.O_WRONLY | CREATE_FLAGS, 0o600);
    try {
      fchmodSync(fd, mode & FILE_MODE_BITS);
    } finally {
      closeSync(fd);
    }
  });
});

export const makeDirectory = changing((folder, { unique, nodeId, body }) => {
  const mode = body.u32();
  body.skip(4);
  return made(folder, { unique, parentId: nodeId, name: body.name() }, (path, parent, name) => {
    mkdirSync(path, 0o700);
    const stats = folder.tree.look(parent, name);
    const node = folder.nodes.meet(identityOf(stats), { parent, name }, true);
    try {
      chmodSync(folder.tree.directory(node), mode & DIRECTORY_MODE_BITS);
    } finally {
      folder.nodes.forget(node.id, 1);
    }
  });
});

export const makeSymlink = changing((folder, { unique, nodeId, body }) => {
  const name = body.name();
  const target = body.text();
  if (target === "" || target.length > MAX_LINK_BYTES) throw new FuseError("EINVAL");
  if (target.length > folder.quota.freeBytes) throw new FuseError("EDQUOT");
  return made(folder, { unique, parentId: nodeId, name }, (path) => {
    symlinkSync(Buffer.from(target, "latin1"), path);
  });
});

/** One more name in the folder for a file of the folder: its own name, not what that may lead to. */
export const link = changing((folder, { unique, nodeId, body }) => {
  const node = folder.nodes.get(body.u64());
  if (node.isDirectory) throw new FuseError("EPERM");
  return made(folder, { unique, parentId: nodeId, name: body.name() }, (path) => {
    linkSync(folder.tree.place(node), path);
    const stats = lstatSync(path, { bigint: true });
    if (identityOf(stats) === node.identity) return;
    unlinkSync(path);
    throw new FuseError("ESTALE");
  });
});

/** Makes an entry by `make` and answers with it. */
function made(
  folder: Folder,
  { unique, parentId, name }: { unique: Buffer; parentId: number; name: string },
  make: (path: string | Buffer, parent: Node, name: string) => void,
): Buffer {
  const parent = folder.nodes.get(parentId);
  folder.quota.needFile();
  make(folder.tree.child(parent, name), parent, name);
  folder.quota.addFiles(1);
  noteRisk(folder, parent, name);
  const stats = folder.tree.look(parent, name);
  tookNew(folder, stats);
  return entryReply(unique, meet(folder, parent, name, stats), folder.owner);
}

/** Counts what a new entry takes by itself, such as the text of a link. Whatever is counted when it goes was counted. */
function tookNew(folder: Folder, stats: BigIntStats): void {
  if (isCounted(stats)) folder.quota.addBytes(takenBy(stats));
}

/** Whether the room of an entry comes and goes with this name: directories count as entries, links by another name not. */
function isCounted(stats: BigIntStats): boolean {
  return stats.nlink <= 1n && !stats.isDirectory();
}

export const unlink = changing((folder, { unique, nodeId, body }) => {
  const parent = folder.nodes.get(nodeId);
  const name = body.name();
  const stats = folder.tree.look(parent, name);
  if (stats.isDirectory()) throw new FuseError("EISDIR");
  unlinkSync(folder.tree.child(parent, name));
  gaveBack(folder, stats);
  return reply(unique, 0);
});

export const removeDirectory = changing((folder, { unique, nodeId, body }) => {
  const parent = folder.nodes.get(nodeId);
  rmdirSync(folder.tree.child(parent, body.name()));
  folder.quota.addFiles(-1);
  return reply(unique, 0);
});

export const rename = changing((folder, { unique, nodeId, body }) => {
  moveEntry(folder, nodeId, body.u64(), body);
  return reply(unique, 0);
});

/** With flags, which Node has no call for: programs do without when they hear EINVAL. */
export const renameWithFlags = changing((folder, { unique, nodeId, body }) => {
  const target = body.u64();
  const flags = body.u32();
  body.skip(4);
  if (flags !== 0) throw new FuseError("EINVAL");
  moveEntry(folder, nodeId, target, body);
  return reply(unique, 0);
});

function moveEntry(folder: Folder, fromId: number, toId: number, body: Fields): void {
  const from = folder.nodes.get(fromId);
  const to = folder.nodes.get(toId);
  const oldName = body.name();
  const newName = body.name();
  const moved = folder.tree.look(from, oldName);
  const replaced = findEntry(folder, to, newName);
  renameSync(folder.tree.child(from, oldName), folder.tree.child(to, newName));
  // Two names of one file: nothing was done.
  if (replaced !== undefined && identityOf(replaced) === identityOf(moved)) return;
  if (replaced !== undefined) gaveBack(folder, replaced);
  const node = folder.nodes.find(identityOf(moved));
  if (node !== undefined) folder.nodes.move(node, { parent: to, name: newName });
  noteRisk(folder, to, newName);
}

function findEntry(folder: Folder, parent: Node, name: string): BigIntStats | undefined {
  try {
    return folder.tree.look(parent, name);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Counts an entry that is gone. What is open elsewhere, or has other names, keeps its room. */
function gaveBack(folder: Folder, stats: BigIntStats): void {
  folder.quota.addFiles(-1);
  if (isCounted(stats) && !folder.budget.isOpen(identityOf(stats))) folder.quota.addBytes(-takenBy(stats));
}

export const write = changing((folder, { unique, body }) => {
  const file = folder.files.get(body.u64());
  const offset = body.u64();
  const size = body.u32();
  body.skip(20);
  if (!file.writable) throw new FuseError("EBADF");
  if (size > MAX_IO_BYTES || !Number.isSafeInteger(offset + size)) throw new FuseError("EINVAL");
  const data = body.data(size);
  folder.quota.needBytes(file.fd, offset, size);
  let written = 0;
  try {
    while (written < size) written += writeSync(file.fd, data, written, size - written, offset + written);
  } catch (error) {
    if (written === 0) throw error;
  } finally {
    folder.files.settle(file);
  }
  return writeReply(unique, written);
});

export const setAttributes = changing((folder, { unique, nodeId, body }) => {
  const node = folder.nodes.get(nodeId);
  const wish = readWish(body);
  const { valid } = wish;
  // All belongs to the sandbox's user already: who asks for that has it.
  const { uid, gid } = folder.owner;
  if ((valid & SET.uid) !== 0 && wish.uid !== uid) throw new FuseError("EPERM");
  if ((valid & SET.gid) !== 0 && wish.gid !== gid) throw new FuseError("EPERM");
  const handle = (valid & SET.handle) !== 0 && !node.isDirectory ? wish.handle : 0;
  if (handle !== 0) changeOpen(folder, handle, wish);
  else changeNode(folder, node, wish);
  noteRiskOf(folder, node);
  return attrReply(unique, attributes(folder, node, handle), folder.owner);
});

interface Wish {
  valid: number;
  handle: number;
  size: number;
  /** Seconds since the epoch. */
  atime: number;
  mtime: number;
  mode: number;
  uid: number;
  gid: number;
}

function readWish(body: Fields): Wish {
  const valid = body.u32();
  body.skip(4);
  const handle = body.u64();
  const size = body.u64();
  body.skip(8);
  const [atime, mtime] = [body.i64(), body.i64()];
  body.skip(8);
  const [atimeNs, mtimeNs] = [body.u32(), body.u32()];
  body.skip(4);
  const mode = body.u32();
  body.skip(4);
  const wish = { valid, handle, size, mode, uid: body.u32(), gid: body.u32() };
  return { ...wish, atime: atime + atimeNs / 1e9, mtime: mtime + mtimeNs / 1e9 };
}

function changeOpen(folder: Folder, handle: number, wish: Wish): void {
  const { fd } = folder.files.get(handle);
  if ((wish.valid & SET.size) !== 0) resize(folder, handle, wish.size);
  if ((wish.valid & SET.mode) !== 0) fchmodSync(fd, wish.mode & FILE_MODE_BITS);
  const times = timesOf(wish, () => fstatSync(fd, { bigint: true }));
  if (times !== undefined) futimesSync(fd, ...times);
}

function changeNode(folder: Folder, node: Node, wish: Wish): void {
  try {
    changePinned(folder, node, wish);
  } catch (error) {
    const open = folder.files.anyOf(node);
    if (!(error instanceof FuseError) || open === undefined) throw error;
    // Its name is gone, and it is still open.
    if ((wish.valid & SET.size) !== 0) throw error;
    if ((wish.valid & SET.mode) !== 0) fchmodSync(open.fd, wish.mode & FILE_MODE_BITS);
    const times = timesOf(wish, () => fstatSync(open.fd, { bigint: true }));
    if (times !== undefined) futimesSync(open.fd, ...times);
  }
}

function changePinned(folder: Folder, node: Node, wish: Wish): void {
  folder.tree.pinned(node, (path, stats) => {
    if ((wish.valid & SET.size) !== 0) {
      if (!stats.isFile()) throw new FuseError("EINVAL");
      checkSize(wish.size);
      truncateSync(path, wish.size);
      const open = folder.files.anyOf(node);
      if (open !== undefined) folder.files.settle(open);
      else folder.quota.addBytes(takenBy(folder.tree.stat(node)) - takenBy(stats));
    }
    if ((wish.valid & SET.mode) !== 0) {
      if (stats.isSymbolicLink()) throw new FuseError("EOPNOTSUPP");
      chmodSync(path, wish.mode & (node.isDirectory ? DIRECTORY_MODE_BITS : FILE_MODE_BITS));
    }
    const times = timesOf(wish, () => stats);
    if (times !== undefined) utimesSync(path, ...times);
  });
}

function resize(folder: Folder, handle: number, size: number): void {
  const file = folder.files.get(handle);
  if (!file.writable) throw new FuseError("EBADF");
  checkSize(size);
  ftruncateSync(file.fd, size);
  folder.files.settle(file);
}

function checkSize(size: number): void {
  if (!Number.isSafeInteger(size)) throw new FuseError("EFBIG");
}

/** Both times, as the calls want them; undefined where none is to change. */
function timesOf(wish: Wish, stats: () => BigIntStats): [number, number] | undefined {
  const { valid } = wish;
  if ((valid & (SET.atime | SET.mtime)) === 0) return undefined;
  const now = Date.now() / 1000;
  const pick = (flag: number, nowFlag: number, wished: number, current: () => bigint): number => {
    if ((valid & flag) === 0) return Number(current()) / 1e9;
    return (valid & nowFlag) !== 0 ? now : wished;
  };
  return [
    pick(SET.atime, SET.atimeNow, wish.atime, () => stats().atimeNs),
    pick(SET.mtime, SET.mtimeNow, wish.mtime, () => stats().mtimeNs),
  ];
}

function noteRisk(folder: Folder, parent: Node, name: string): void {
  folder.risks.wrote([...wayTo(parent).map((node) => node.name), name]);
}

function noteRiskOf(folder: Folder, node: Node): void {
  if (node.parent !== null) noteRisk(folder, node.parent, node.name);
}
