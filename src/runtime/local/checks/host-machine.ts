/** Checks of the machine itself: Node, kernel, memory, disk space. */
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { Check } from "../../types.ts";
import { failed, info, ok, warning } from "./check-result.ts";

/** What package.json's `engines` says. */
const MINIMUM_NODE_MAJOR = 24;
/** A default sandbox: its memory, and as much again for QEMU and the supervisor. `bytes` */
const MEMORY_BYTES = 2e9;
/** An image, a template and the disks of a few sandboxes. `bytes` */
const COMFORTABLE_DISK_BYTES = 10e9;
/** Below this not even a template can be made. `bytes` */
const LEAST_DISK_BYTES = 3e9;

export function checkNode(version = process.versions.node): Check {
  const subject = { id: "node", title: "Node" };
  const major = Number(version.split(".")[0]);
  const found = `${version} at ${process.execPath}`;
  if (major >= MINIMUM_NODE_MAJOR) return ok(subject, found);
  return failed(subject, found, `install Node ${MINIMUM_NODE_MAJOR} or newer`);
}

export function checkHost(): Check {
  const subject = { id: "host", title: "Host" };
  const found = `${os.type()} ${os.release()}, ${os.machine()}, ${os.availableParallelism()} processors`;
  if (process.platform !== "linux") return failed(subject, found, "run sbx on Linux");
  if (!["x64", "arm64"].includes(process.arch)) return failed(subject, found, "run sbx on x86-64 or arm64");
  return info(subject, found);
}

/** @param availableBytes memory that can be had without swapping */
export function checkMemory(availableBytes = process.availableMemory()): Check {
  const subject = { id: "memory", title: "Memory" };
  const found = `${gigabytes(availableBytes)} available`;
  if (availableBytes >= MEMORY_BYTES) return ok(subject, found);
  return warning(subject, found, "end other programs, or give sandboxes less: sbx config set memory 512MiB");
}

/** Room on the disk that holds `dataPath`, which need not exist yet. */
export async function checkDisk(dataPath: string): Promise<Check> {
  const subject = { id: "disk", title: "Disk space" };
  let existing = dataPath;
  while (!existsSync(existing)) existing = path.dirname(existing);
  const { bavail, bsize } = await statfs(existing);
  return judgeDisk(subject, bavail * bsize, dataPath);
}

function judgeDisk(subject: { id: string; title: string }, freeBytes: number, dataPath: string): Check {
  const found = `${gigabytes(freeBytes)} free for ${dataPath}`;
  const fix = "make room, or remove what is not used: sbx prune --images";
  if (freeBytes >= COMFORTABLE_DISK_BYTES) return ok(subject, found);
  return freeBytes >= LEAST_DISK_BYTES ? warning(subject, found, fix) : failed(subject, found, fix);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
