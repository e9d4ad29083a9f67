/** Checkpoints as text and JSON. */
import type { CheckpointInfo } from "../../runtime/checkpoints.ts";
import { humanDuration, humanSize, humanTime } from "../output/human.ts";
import type { Column } from "../output/table.ts";
import { formatSize } from "../parsers/size.ts";

export const CHECKPOINT_COLUMNS: readonly Column[] = [
  { title: "NAME", minWidth: 6 },
  { title: "CREATED" },
  { title: "SOURCE", minWidth: 8 },
  { title: "MEMORY" },
  { title: "SIZE" },
];

export function checkpointRow(checkpoint: CheckpointInfo, nowMs: number): string[] {
  return [
    checkpoint.name,
    `${humanDuration(nowMs - checkpoint.createdAt)} ago`,
    sourceOf(checkpoint),
    formatSize(checkpoint.memoryBytes),
    humanSize(checkpoint.allocatedBytes),
  ];
}

export function checkpointFields(checkpoint: CheckpointInfo, nowMs: number): [string, string][] {
  return [
    ["ID", checkpoint.id],
    ["Name", checkpoint.name],
    ["Created", humanTime(checkpoint.createdAt, nowMs)],
    ["Source", sourceOf(checkpoint)],
    ["Image", checkpoint.imageId.slice(0, 12)],
    ["Memory", formatSize(checkpoint.memoryBytes)],
    ["CPUs", String(checkpoint.cpus)],
    ["Disk", humanSize(checkpoint.diskBytes)],
    ["Takes", humanSize(checkpoint.allocatedBytes)],
    ...checkpoint.faults.map((fault): [string, string] => ["Damaged", fault]),
  ];
}

export function checkpointJson(checkpoint: CheckpointInfo): Record<string, unknown> {
  return { ...checkpoint, createdAt: new Date(checkpoint.createdAt).toISOString() };
}

function sourceOf({ source }: CheckpointInfo): string {
  return source.name ?? source.id;
}
