/** Whether this machine can give what a sandbox asks for. Refusals say what is there. */
import { statfs, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { SbxError } from "../errors.ts";

const MiB = 1024 ** 2;
/** What a Debian userland and the agent need at the least. */
const MIN_MEMORY_BYTES = 256 * MiB;
const MAX_MEMORY_BYTES = 1024 * 1024 * MiB;
/** The base image's content and some room. */
const MIN_DISK_BYTES = 3 * 1024 ** 3;
const MAX_DISK_BYTES = 64 * 1024 ** 4;
/** Memory that stays for the host itself. */
const HOST_RESERVE_BYTES = 256 * MiB;
/** Free space that a sandbox needs to start: its layer grows with what it writes. */
const MIN_FREE_DISK_BYTES = 256 * MiB;
/** Above this, more processors only take turns. */
const CPUS_PER_CORE = 4;
const MAX_CPUS = 255;

export interface Demand {
  memoryBytes: number;
  cpus: number;
  diskBytes: number;
}

/** What the machine has at this moment. */
export interface HostFacts {
  cores: number;
  /** `null` where the system does not tell. */
  availableMemoryBytes: number | null;
  freeDiskBytes: number;
}

/** Admits what this machine can give now; see {@link judge}. */
export async function admit(demand: Demand, directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const facts = {
    cores: availableParallelism(),
    availableMemoryBytes: await availableMemoryBytes(),
    freeDiskBytes: bavail * bsize,
  };
  judge(demand, facts, directory);
}

/**
 * @param directory the one whose file system has `freeDiskBytes`
 * @throws SbxError `usage` for what no machine gives, `insufficient_resources` or `disk_full` for what this one cannot
 */
export function judge(demand: Demand, host: HostFacts, directory: string): void {
  const { memoryBytes, cpus, diskBytes } = demand;
  inRange("memory", memoryBytes, MIN_MEMORY_BYTES, MAX_MEMORY_BYTES);
  inRange("disk", diskBytes, MIN_DISK_BYTES, MAX_DISK_BYTES);
  if (memoryBytes % MiB !== 0) throw new SbxError("usage", `memory must be whole MiB, not ${memoryBytes} bytes`);
  const { cores, availableMemoryBytes: available, freeDiskBytes } = host;
  const most = Math.min(cores * CPUS_PER_CORE, MAX_CPUS);
  if (!Number.isInteger(cpus) || cpus < 1)
    throw new SbxError("usage", `cpus must be a whole number from 1, not ${cpus}`);
  if (cpus > most) {
    throw new SbxError(
      "insufficient_resources",
      `${cpus} CPUs were asked for; this machine has ${cores} cores and gives at most ${most}`,
      { hint: `sbx create --cpus ${most}` },
    );
  }
  if (available !== null && memoryBytes > available - HOST_RESERVE_BYTES) {
    throw new SbxError(
      "insufficient_resources",
      `${mib(memoryBytes)} of memory were asked for; ${mib(Math.max(0, available - HOST_RESERVE_BYTES))} can be given now`,
      { hint: "sbx list" },
    );
  }
  if (freeDiskBytes < MIN_FREE_DISK_BYTES) {
    throw new SbxError(
      "disk_full",
      `${directory} has ${mib(freeDiskBytes)} of free space; a sandbox needs ${mib(MIN_FREE_DISK_BYTES)}`,
      {
        hint: "sbx prune",
      },
    );
  }
}

function inRange(what: string, bytes: number, min: number, max: number): void {
  if (bytes >= min && bytes <= max) return;
  throw new SbxError("usage", `${what} must be from ${mib(min)} to ${mib(max)}, not ${mib(bytes)}`);
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / MiB)} MiB`;
}

async function availableMemoryBytes(): Promise<number | null> {
  try {
    const match = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"));
    return match === null ? null : Number(match[1]) * 1024;
  } catch {
    return null; // Not Linux: the system's own answer will have to do.
  }
}
