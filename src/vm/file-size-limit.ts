/**
 * The limit on the size of a machine's files, once it runs. The kernel counts offsets, also those of a file that QEMU was
 * handed, and a disk that is attached may be larger than all that the machine was started with.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { processTree } from "../host/process-tree.ts";
import { SbxError } from "../runtime/errors.ts";

const run = promisify(execFile);

/** A qcow2 file holds its disk and some metadata. */
export function fileSizeFor(diskBytes: number): number {
  return Math.ceil(diskBytes * 1.05) + 1024 ** 3;
}

/**
 * Lets a machine's files grow to that of a disk; never takes room away.
 *
 * @param leader the machine's outermost process
 * @param tools prlimit(1), without which there is no limit, and setpriv(1)
 */
export async function allowDiskSize(
  leader: number,
  tools: { prlimit: string | null; setpriv: string | null },
  diskBytes: number,
): Promise<void> {
  const { prlimit, setpriv } = tools;
  if (prlimit === null) return;
  const needed = fileSizeFor(diskBytes);
  // They are raised together, the outermost's last.
  const now = await softLimit(leader);
  if (now === null || now >= needed) return;
  for (const pid of processTree([leader]).toReversed()) {
    const soft = await softLimit(pid);
    if (soft === null || soft >= needed) continue;
    const words = [...(await asAccountOf(pid, setpriv)), prlimit, "--pid", String(pid), `--fsize=${needed}:`];
    try {
      await run(words[0] ?? prlimit, words.slice(1), { timeout: 10_000 });
    } catch (cause) {
      throw new SbxError("vm_start_failed", "the machine cannot be allowed files as large as this disk", { cause });
    }
  }
}

/** A process may change the limits of others of its account (prlimit(2)); root, in many containers, only its own. */
async function asAccountOf(pid: number, setpriv: string | null): Promise<string[]> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const uid = /^Uid:\t(\d+)/m.exec(status)?.[1];
  if (setpriv === null || uid === undefined || Number(uid) === process.getuid?.()) return [];
  return [setpriv, "--reuid", uid, "--regid", uid, "--clear-groups", "--"];
}

/** `null` for none, or where the process is gone. */
async function softLimit(pid: number): Promise<number | null> {
  const limits = await readFile(`/proc/${pid}/limits`, "utf8").catch(() => "");
  const soft = /^Max file size +(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? null : Number(soft);
}
