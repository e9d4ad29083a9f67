/** The calls of protocol/disk-calls.ts, as a client of one sandbox's socket. */
import {
  DISK_SNAPSHOTS_TARGET,
  VOLUMES_TARGET,
  type AttachedVolume,
  type ResizeCall,
  type SnapshotAnswer,
  type SnapshotCall,
  type VolumeAttachment,
} from "../../../protocol/disk-calls.ts";
import { SbxError } from "../../errors.ts";
import { callSupervisor, refusedWithCode } from "../supervisor-client.ts";

/** A guest under load takes its time to mount, and to write what it holds before it lets go, `ms`. */
const TIMEOUT_MS = 60_000;

export interface DiskTarget {
  socketPath: string;
  signal?: AbortSignal | undefined;
}

/** Attached and mounted when it returns. */
export async function attachDisk(target: DiskTarget, volume: VolumeAttachment): Promise<AttachedVolume> {
  return (await call(target, "POST", VOLUMES_TARGET, volume)) as AttachedVolume;
}

export async function detachDisk(target: DiskTarget, volumeId: string): Promise<AttachedVolume> {
  return (await call(target, "DELETE", `${VOLUMES_TARGET}/${volumeId}`)) as AttachedVolume;
}

export async function resizeDisk(
  target: DiskTarget,
  volumeId: string,
  size: ResizeCall,
  timeoutMs: number = TIMEOUT_MS,
): Promise<AttachedVolume> {
  return (await call(target, "PATCH", `${VOLUMES_TARGET}/${volumeId}`, size, timeoutMs)) as AttachedVolume;
}

/**
 * Makes what a disk holds immutable. Repeating it with the layer that is the top already changes nothing.
 *
 * @throws SbxError `supervisor_lost` when nobody knows whether it was done; anything else when it was not
 */
export async function switchDisk(
  target: DiskTarget,
  snapshot: SnapshotCall,
  timeoutMs: number = TIMEOUT_MS,
): Promise<SnapshotAnswer> {
  return (await call(target, "POST", DISK_SNAPSHOTS_TARGET, snapshot, timeoutMs)) as SnapshotAnswer;
}

async function call(
  { socketPath, signal }: DiskTarget,
  method: string,
  path: string,
  body?: object,
  timeoutMs: number = TIMEOUT_MS,
): Promise<unknown> {
  return callSupervisor(socketPath, method, path, {
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...{ signal, timeoutMs, refused: refusedWithCode },
  });
}

/** Whether the request may have been carried out all the same. */
export function isUndecided(error: unknown): boolean {
  return (
    !(error instanceof SbxError) || ["supervisor_lost", "aborted", "timeout", "vm_start_timeout"].includes(error.code)
  );
}
