/** Metadata of files, from the agent's words to Deno's. */
import type { AgentStat, FileType } from "../../protocol/agent-calls.ts";
import type { FileInfo } from "../../protocol/rpc-methods-fs.ts";

/** The greatest time that a Date holds, `ms`; file systems in the guest may hold others. */
const MAX_TIME_MS = 8.64e15;

export function toFileInfo(stat: AgentStat): FileInfo {
  const { type } = stat;
  return {
    isFile: type === "file",
    isDirectory: type === "dir",
    isSymlink: type === "symlink",
    isBlockDevice: type === "block",
    isCharDevice: type === "char",
    isFifo: type === "fifo",
    isSocket: type === "socket",
    size: stat.size,
    mode: stat.mode,
    dev: stat.dev,
    ino: stat.ino,
    nlink: stat.nlink,
    uid: stat.uid,
    gid: stat.gid,
    rdev: stat.rdev,
    blksize: stat.blksize,
    blocks: stat.blocks,
    mtime: toDate(stat.mtime),
    atime: toDate(stat.atime),
    birthtime: toDate(stat.birthtime),
    ctime: toDate(stat.ctime),
  };
}

/** The three flags that directory entries have; all are false for devices, sockets and FIFOs. */
export function toEntryFlags(type: FileType): { isFile: boolean; isDirectory: boolean; isSymlink: boolean } {
  return { isFile: type === "file", isDirectory: type === "dir", isSymlink: type === "symlink" };
}

function toDate(ms: number): string {
  return new Date(Math.max(-MAX_TIME_MS, Math.min(MAX_TIME_MS, ms))).toISOString();
}
