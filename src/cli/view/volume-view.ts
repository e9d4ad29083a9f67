/** Volumes as text and JSON. */
import type { VolumeInfo } from "../../runtime/disks.ts";
import { humanDuration, humanRest, humanSize, humanTime } from "../output/human.ts";
import type { Column } from "../output/table.ts";
import { displaySize } from "../parsers/size.ts";

export const VOLUME_COLUMNS: readonly Column[] = [
  { title: "NAME", minWidth: 8 },
  { title: "USED" },
  { title: "CAPACITY" },
  { title: "BASE" },
  { title: "IN USE BY", minWidth: 8 },
  { title: "CREATED" },
  { title: "ID", minWidth: 12 },
];

export const REMOVED_COLUMNS: readonly Column[] = [
  { title: "NAME", minWidth: 8 },
  { title: "USED" },
  { title: "CAPACITY" },
  { title: "CAN BE RESTORED" },
  { title: "ID", minWidth: 12 },
];

export function volumeRow(volume: VolumeInfo, nowMs: number): string[] {
  return [
    volume.slug,
    humanSize(volume.estimatedAllocatedBytes),
    displaySize(volume.capacityBytes),
    baseText(volume),
    volume.faults.length > 0 ? "damaged" : holdersText(volume),
    `${humanDuration(nowMs - volume.createdAt)} ago`,
    volume.id,
  ];
}

export function removedRow(volume: VolumeInfo, nowMs: number): string[] {
  const rest = humanRest((volume.restorableUntil ?? nowMs) - nowMs);
  const { slug, estimatedAllocatedBytes: used, capacityBytes, id } = volume;
  return [slug, humanSize(used), displaySize(capacityBytes), `for ${rest}`, id];
}

export function volumeFields(volume: VolumeInfo, nowMs: number): [string, string][] {
  return [
    ["Name", volume.slug],
    ["ID", volume.id],
    ["Capacity", displaySize(volume.capacityBytes)],
    [
      "Used",
      `${humanSize(volume.estimatedAllocatedBytes)}, ${humanSize(volume.estimatedFlattenedBytes)} with its base`,
    ],
    ["Base", baseText(volume)],
    ["Bootable", volume.isBootable ? "yes" : "no"],
    ["In use by", holdersText(volume)],
    ["Created", humanTime(volume.createdAt, nowMs)],
    ["State", volume.faults.length === 0 ? "whole" : "damaged"],
    ...volume.faults.map((fault): [string, string] => ["Fault", fault]),
  ];
}

/** The snapshot or image below it. */
function baseText({ baseSnapshot, imageId }: VolumeInfo): string {
  if (baseSnapshot !== null) return baseSnapshot.slug;
  return imageId === null ? "-" : `image ${imageId.slice(0, 12)}`;
}

function holdersText({ holders }: VolumeInfo): string {
  if (holders.length === 0) return "-";
  return holders
    .map(
      ({ name, path, access }) => `${name}${path === null ? "" : ` ${path}`}${access === "read-only" ? " (ro)" : ""}`,
    )
    .join(", ");
}

export function volumeJson(volume: VolumeInfo): Record<string, unknown> {
  const iso = (time: number | null): string | null => (time === null ? null : new Date(time).toISOString());
  const { createdAt, removedAt, restorableUntil } = volume;
  return {
    ...volume,
    createdAt: iso(createdAt),
    removedAt: iso(removedAt),
    restorableUntil: iso(restorableUntil),
  };
}
