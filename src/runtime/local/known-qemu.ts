/**
 * QEMU with its version, without asking it each time: that takes 20 ms of every start, and the answer holds as long as
 * the file is the same. The memory of it is this user's own, and whatever does not fit is asked for again.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { findQemu, locateQemu, type QemuBinary } from "../../vm/qemu-binary.ts";
import type { StatePaths } from "./paths.ts";

const knownSchema = z.object({
  stamp: z.string(),
  qemu: z.object({ path: z.string(), version: z.string(), major: z.number(), minor: z.number() }),
});

/** @throws SbxError `qemu_missing` with the package to install */
export async function knownQemu(paths: StatePaths): Promise<QemuBinary> {
  const binary = await locateQemu();
  const memoryPath = path.join(paths.statePath, "qemu.json");
  const stamp = stampOf(binary);
  const known = recall(memoryPath);
  if (known !== undefined && known.stamp === stamp) return known.qemu;
  const qemu = await findQemu();
  const temporary = `${memoryPath}.${process.pid}.tmp`;
  writeFileSync(temporary, JSON.stringify({ stamp, qemu }), { mode: 0o600 });
  renameSync(temporary, memoryPath);
  return qemu;
}

/** The inode's times change with every write and rename, so another QEMU never looks like this one. */
function stampOf(binary: string): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(binary, { bigint: true });
  return [binary, ino, size, mtimeNs, ctimeNs].join(" ");
}

function recall(memoryPath: string): z.infer<typeof knownSchema> | undefined {
  try {
    return knownSchema.parse(JSON.parse(readFileSync(memoryPath, "utf8")));
  } catch {
    return undefined; // None yet, or damaged: QEMU is asked.
  }
}
