/** The disks' part of the supervisor's socket (src/protocol/disk-calls.ts). */
import {
  attachCall,
  DISK_SNAPSHOTS_TARGET,
  MAX_DISK_BODY_BYTES,
  resizeCall,
  snapshotCall,
  VOLUME_ID,
  VOLUMES_TARGET,
  type AttachedVolume,
  type ResizeCall,
  type SnapshotAnswer,
  type SnapshotCall,
  type VolumeAttachment,
} from "../../protocol/disk-calls.ts";
import type { DoorTable } from "../door-http.ts";

/** The disks of a sandbox, as its owner may look at them and change them. Failures are SbxErrors. */
export interface DiskControl {
  list(): AttachedVolume[];
  attach(volume: VolumeAttachment): Promise<AttachedVolume>;
  detach(id: string): Promise<AttachedVolume>;
  resize(id: string, call: ResizeCall): Promise<AttachedVolume>;
  snapshot(call: SnapshotCall): Promise<SnapshotAnswer>;
}

const maxBytes = MAX_DISK_BODY_BYTES;

export const DISK_CALLS: DoorTable<DiskControl> = {
  id: VOLUME_ID,
  routes: {
    [VOLUMES_TARGET]: {
      GET: { maxBytes, answer: (disks) => disks.list() },
      POST: { maxBytes, answer: (disks, { body }) => disks.attach(attachCall().parse(body)) },
    },
    [`${VOLUMES_TARGET}/*`]: {
      DELETE: { maxBytes, answer: (disks, { id }) => disks.detach(id) },
      PATCH: { maxBytes, answer: (disks, { body, id }) => disks.resize(id, resizeCall().parse(body)) },
    },
    [DISK_SNAPSHOTS_TARGET]: {
      POST: { maxBytes, answer: (disks, { body }) => disks.snapshot(snapshotCall().parse(body)) },
    },
  },
};
