/**
 * Room for the files of a fork, which are needed until the copies have opened them: in memory where there is enough of
 * it, as that is quicker, and beside the checkpoints otherwise. The name of the directory says who made it, so that what
 * a killed process left can be told.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import path from "node:path";
import { isAlive, ownIdentity } from "../../../host/process-identity.ts";
import type { StatePaths } from "../paths.ts";

/** Where Linux has shared memory (shm_overview(7)). */
const MEMORY_PATH = "/dev/shm";
/** statfs(2). */
const TMPFS_MAGIC = 0x01021994;
/** What stays for everything else, `bytes`. */
const RESERVE_BYTES = 512 * 1024 ** 2;

const NAME = /^\.?sbx-fork-(\d+)-(\d+)-(\d+)-[0-9a-f]{12}$/;

export interface Scratch extends Disposable {
  readonly directory: string;
}

export function checkpointsPath({ dataPath }: Pick<StatePaths, "dataPath">): string {
  return path.join(dataPath, "checkpoints");
}

/** @param bytes the most that is needed */
export function openScratch(paths: Pick<StatePaths, "dataPath">, bytes: number): Scratch {
  const { pid, startTicks } = ownIdentity();
  const name = `sbx-fork-${process.getuid?.() ?? 0}-${pid}-${startTicks}-${randomBytes(6).toString("hex")}`;
  const parent = hasMemory(bytes) ? MEMORY_PATH : checkpointsPath(paths);
  if (parent !== MEMORY_PATH) mkdirSync(parent, { recursive: true, mode: 0o700 });
  const directory = path.join(parent, parent === MEMORY_PATH ? name : `.${name}`);
  mkdirSync(directory, { mode: 0o700 });
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Directories that dead processes of this user left. */
export function findAbandonedScratch(paths: Pick<StatePaths, "dataPath">): string[] {
  return [MEMORY_PATH, checkpointsPath(paths)].flatMap((parent) =>
    entriesOf(parent)
      .filter((name) => isAbandoned(name))
      .map((name) => path.join(parent, name))
      .filter(isOwn),
  );
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // There is none: nothing was left there.
  }
}

function isAbandoned(name: string): boolean {
  const [, uid, pid, startTicks] = NAME.exec(name) ?? [];
  if (pid === undefined || startTicks === undefined || Number(uid) !== (process.getuid?.() ?? 0)) return false;
  return !isAlive({ pid: Number(pid), startTicks });
}

/** In shared memory anybody may make a directory of any name. */
function isOwn(directory: string): boolean {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === (process.getuid?.() ?? 0);
}

function hasMemory(bytes: number): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(MEMORY_PATH);
    const available =
      Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1] ?? 0) * 1024;
    return type === TMPFS_MAGIC && bavail * bsize >= bytes && available >= bytes + RESERVE_BYTES;
  } catch {
    return false; // Another system, or closed to this account.
  }
}
