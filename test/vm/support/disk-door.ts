/** Disks made by hand and given to a sandbox through its supervisor's socket, apart from what keeps record of volumes. */
import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { AttachedVolume, SnapshotAnswer, VolumeAttachment } from "../../../src/protocol/disk-calls.ts";
import { callSupervisor } from "../../../src/runtime/local/supervisor-client.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { createOverlay } from "../../../src/vm/disk.ts";
import type { TestHome } from "./test-home.ts";

const TIMEOUT_MS = 60_000;
const MiB = 1024 ** 2;

let made = 0;

/** A volume by hand: a raw file with an ext4 file system. */
export function makeVolume(home: TestHome, name: string, bytes = 64 * MiB): VolumeAttachment {
  const file = home.scratch(`${name}.raw`);
  writeFileSync(file, "", { mode: 0o600 });
  truncateSync(file, bytes);
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-F", file], { stdio: "pipe" });
  return attachment(name, file, bytes);
}

/** What a sandbox is told of a raw file. */
export function attachment(name: string, file: string, bytes: number): VolumeAttachment {
  made += 1;
  const id = `vol_loc_${made.toString().padStart(20, "0")}`;
  return {
    ...{ id, name, path: `/mnt/${name}`, access: "read-write", capacityBytes: bytes },
    layers: [{ path: file, format: "raw" }],
  };
}

export async function attach(home: TestHome, id: string, volume: VolumeAttachment): Promise<AttachedVolume> {
  return (await call(home, id, "POST", "/sbx/v1/volumes", volume)) as AttachedVolume;
}

export async function detach(home: TestHome, id: string, volume: VolumeAttachment): Promise<AttachedVolume> {
  return (await call(home, id, "DELETE", `/sbx/v1/volumes/${volume.id}`)) as AttachedVolume;
}

export async function resize(
  home: TestHome,
  id: string,
  volume: VolumeAttachment,
  capacityBytes: number,
): Promise<AttachedVolume> {
  return (await call(home, id, "PATCH", `/sbx/v1/volumes/${volume.id}`, { capacityBytes })) as AttachedVolume;
}

export async function attached(home: TestHome, id: string): Promise<AttachedVolume[]> {
  return (await call(home, id, "GET", "/sbx/v1/volumes")) as AttachedVolume[];
}

/** Freezes a disk, and has the sandbox write to a new layer beside it from now on. */
export async function snapshot(
  home: TestHome,
  id: string,
  disk: string,
  bytes: number,
): Promise<SnapshotAnswer & { layerPath: string }> {
  made += 1;
  const layerPath = home.scratch(`layer${made}.qcow2`);
  await createOverlay(layerPath, { path: "below", format: "raw" }, bytes);
  return {
    ...((await call(home, id, "POST", "/sbx/v1/disk-snapshots", { disk, layerPath })) as SnapshotAnswer),
    layerPath,
  };
}

async function call(home: TestHome, id: string, method: string, target: string, body?: object): Promise<unknown> {
  return callSupervisor(path.join(home.paths.socketsPath, `${id}.sock`), method, target, {
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    timeoutMs: TIMEOUT_MS,
    refused: (_status, message) => new SbxError("guest_error", message),
  });
}

/** Throws with e2fsck's words unless a file system is as it should be. */
export function checkFileSystem(file: string): void {
  execFileSync("e2fsck", ["-f", "-n", file], { stdio: "pipe" });
}

/** A file of a raw file's file system, read by the host. */
export function readFromDisk(file: string, name: string): string {
  return execFileSync("debugfs", ["-R", `cat ${name}`, file], { stdio: "pipe" }).toString();
}
