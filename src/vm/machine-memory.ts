/** Where the memory of a running machine is: which process is QEMU, and where it has mapped the guest's memory. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { processTree } from "../host/process-tree.ts";
import { SbxError } from "../runtime/errors.ts";

export interface MachineMemory {
  /** QEMU's process. */
  pid: number;
  /** Where the mapping begins, in hexadecimal with `0x`. */
  address: string;
  /** Path of the file that is mapped, through QEMU's own descriptor: the file may have no name any more. */
  basePath: string;
}

/** A run of lines of /proc/PID/maps (proc(5)) that are one private mapping of a file from its beginning. */
interface Mapping {
  begin: bigint;
  end: bigint;
  inode: string;
}

const MAPS_LINE = /^([0-9a-f]+)-([0-9a-f]+) rw-p ([0-9a-f]+) [0-9a-f]+:[0-9a-f]+ (\d+)/;

/**
 * Looks among a process and its descendants for the one that has mapped a file of the guest's memory's size privately.
 *
 * @param outermost the machine's outermost process
 * @throws SbxError `vm_memory_unreadable` when there is none, or this host does not let it be looked at
 */
export function findMachineMemory(outermost: number, memoryBytes: number): MachineMemory {
  let refusal: unknown;
  for (const pid of processTree([outermost])) {
    try {
      const mapping = findMapping(readFileSync(`/proc/${pid}/maps`, "utf8"), BigInt(memoryBytes));
      const basePath = mapping === undefined ? undefined : findDescriptor(pid, mapping.inode, memoryBytes);
      if (mapping !== undefined && basePath !== undefined) {
        return { pid, address: `0x${mapping.begin.toString(16)}`, basePath };
      }
    } catch (error) {
      refusal = error; // Gone meanwhile, or closed to this account: another one may be it.
    }
  }
  throw new SbxError("vm_memory_unreadable", "the machine's memory was not found among its processes", {
    cause: refusal,
    hint: "sbx doctor",
  });
}

/** @internal for tests */
export function findMapping(maps: string, bytes: bigint): Mapping | undefined {
  let run: Mapping | undefined;
  for (const line of maps.split("\n")) {
    const [, begin, end, offset, inode] = MAPS_LINE.exec(line) ?? [];
    if (begin === undefined || end === undefined || offset === undefined || inode === undefined || inode === "0") {
      run = undefined;
      continue;
    }
    const [from, to, at] = [BigInt(`0x${begin}`), BigInt(`0x${end}`), BigInt(`0x${offset}`)];
    // The kernel may tell one mapping in several lines, where parts of it were given other properties.
    const continues = run !== undefined && run.inode === inode && run.end === from && at === from - run.begin;
    if (continues && run !== undefined) run.end = to;
    else run = at === 0n ? { begin: from, end: to, inode } : undefined;
    if (run !== undefined && run.end - run.begin === bytes) return run;
  }
  return undefined;
}

function findDescriptor(pid: number, inode: string, bytes: number): string | undefined {
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${name}`;
    // Through the link: also where the name that it shows is gone.
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats?.isFile() === true && String(stats.ino) === inode && stats.size >= BigInt(bytes)) return path;
  }
  return undefined;
}
