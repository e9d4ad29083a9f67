/** The objects of the API: their schemas, and how they are made of the runtime's. */
import { z } from "zod";
import type { SnapshotInfo, VolumeInfo } from "../../runtime/disks.ts";
import type { SandboxInfo } from "../../runtime/types.ts";

const labels = z.record(z.string(), z.string());
const named = z.object({ id: z.string(), slug: z.string() });

/** In a list. Unlike all other objects, in camel case. */
export const sandboxObject = z
  .object({
    id: z.string(),
    createdAt: z.iso.datetime(),
    stoppedAt: z.iso.datetime().nullable(),
    region: z.string(),
    status: z.enum(["running", "stopped"]),
    labels,
  })
  .meta({ id: "Sandbox" });

export const volumeObject = z
  .object({
    id: z.string(),
    slug: z.string(),
    region: z.string(),
    capacity: z.int().meta({ description: "bytes" }),
    estimated_allocated_size: z.int(),
    estimated_flattened_size: z.int(),
    is_bootable: z.boolean(),
    base_snapshot: named.nullable(),
  })
  .meta({ id: "Volume" });

export const snapshotObject = z
  .object({
    id: z.string(),
    slug: z.string(),
    region: z.string(),
    allocated_size: z.int(),
    flattened_size: z.int(),
    is_bootable: z.boolean(),
    volume: named,
  })
  .meta({ id: "Snapshot" });

export const errorObject = z.object({ code: z.string(), message: z.string() }).meta({ id: "Error" });

export const stopAtObject = z.object({ stop_at_ms: z.number().meta({ description: "epoch ms" }) });

export function toSandboxObject(info: SandboxInfo): z.output<typeof sandboxObject> {
  const isOver = info.status === "stopped" || info.status === "failed";
  return {
    id: info.id,
    createdAt: new Date(info.createdAt).toISOString(),
    stoppedAt: info.stoppedAt === null ? null : new Date(info.stoppedAt).toISOString(),
    region: info.region,
    status: isOver ? "stopped" : "running",
    labels: info.labels,
  };
}

export function toVolumeObject(info: VolumeInfo): z.output<typeof volumeObject> {
  return {
    id: info.id,
    slug: info.slug,
    region: info.region,
    capacity: info.capacityBytes,
    estimated_allocated_size: info.estimatedAllocatedBytes,
    estimated_flattened_size: info.estimatedFlattenedBytes,
    is_bootable: info.isBootable,
    base_snapshot: info.baseSnapshot === null ? null : { id: info.baseSnapshot.id, slug: info.baseSnapshot.slug },
  };
}

export function toSnapshotObject(info: SnapshotInfo): z.output<typeof snapshotObject> {
  return {
    id: info.id,
    slug: info.slug,
    region: info.region,
    allocated_size: info.allocatedBytes,
    flattened_size: info.flattenedBytes,
    is_bootable: info.isBootable,
    // One that was taken of a sandbox's disk or read from a file has no volume: then its source is named all the same.
    volume: { id: info.source.id, slug: info.source.name ?? info.source.id },
  };
}
