/** Copy-on-write layers of the root disk. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SbxError } from "../runtime/errors.ts";
import { findProgram } from "./qemu-binary.ts";
import type { DiskLayer } from "./machine-spec.ts";

const run = promisify(execFile);

/** Disk sizes are whole MiB, so that every block and cluster size divides them. */
export function roundDiskBytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2) * 1024 ** 2;
}

/**
 * Makes an empty qcow2 layer over `backing`. The name it records is only a note: QEMU is always told the whole chain.
 *
 * @throws SbxError `qemu_missing` without qemu-img, `vm_start_failed` with its words
 */
export async function createOverlay(target: string, backing: DiskLayer, sizeBytes: number): Promise<void> {
  const program = await findProgram("qemu-img");
  if (program === undefined) {
    throw new SbxError("qemu_missing", "qemu-img was not found on PATH", { hint: "sudo apt-get install qemu-utils" });
  }
  const size = String(roundDiskBytes(sizeBytes));
  const options = ["create", "-q", "-u", "-f", "qcow2", "-b", "below", "-F", backing.format, target, size];
  try {
    await run(program, options, { timeout: 30_000 });
  } catch (cause) {
    throw new SbxError("vm_start_failed", `qemu-img could not make ${target}`, { cause });
  }
}
