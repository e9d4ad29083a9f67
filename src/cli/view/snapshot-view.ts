/** Snapshots as text and JSON, and the tree of what was made from them. */
import type { SnapshotInfo, SnapshotTree } from "../../runtime/disks.ts";
import { escapeLine } from "../output/escape.ts";
import { humanDuration, humanSize, humanTime } from "../output/human.ts";
import type { Column } from "../output/table.ts";
import { displaySize } from "../parsers/size.ts";

export const SNAPSHOT_COLUMNS: readonly Column[] = [
  { title: "NAME", minWidth: 8 },
  { title: "USED" },
  { title: "SIZE" },
  { title: "FROM", minWidth: 8 },
  { title: "BOOTABLE" },
  { title: "CREATED" },
  { title: "ID", minWidth: 12 },
];

export function snapshotRow(snapshot: SnapshotInfo, nowMs: number): string[] {
  return [
    snapshot.slug,
    humanSize(snapshot.allocatedBytes),
    displaySize(snapshot.sizeBytes),
    snapshot.faults.length > 0 ? "damaged" : sourceText(snapshot),
    snapshot.isBootable ? "yes" : "no",
    `${humanDuration(nowMs - snapshot.createdAt)} ago`,
    snapshot.id,
  ];
}

export function snapshotFields(snapshot: SnapshotInfo, nowMs: number): [string, string][] {
  const { usedBy, faults } = snapshot;
  return [
    ["Name", snapshot.slug],
    ["ID", snapshot.id],
    ["Size", displaySize(snapshot.sizeBytes)],
    ["Used", `${humanSize(snapshot.allocatedBytes)}, ${humanSize(snapshot.flattenedBytes)} with its base`],
    ["From", sourceText(snapshot)],
    ["Base", snapshot.parent?.slug ?? "-"],
    ["Bootable", snapshot.isBootable ? "yes" : "no"],
    ["File system", snapshot.isClean ? "stood still" : "as after a loss of power"],
    ["Used by", usedBy.length === 0 ? "-" : usedBy.map(({ kind, name }) => `${kind} ${name}`).join(", ")],
    ["Created", humanTime(snapshot.createdAt, nowMs)],
    ["State", faults.length === 0 ? "whole" : "damaged"],
    ...faults.map((fault): [string, string] => ["Fault", fault]),
  ];
}

function sourceText({ source }: SnapshotInfo): string {
  return `${source.kind} ${source.name ?? source.id}`;
}

export function snapshotJson(snapshot: SnapshotInfo): Record<string, unknown> {
  return { ...snapshot, createdAt: new Date(snapshot.createdAt).toISOString() };
}

/** One line each, below what it was made from. */
export function treeLines(trees: readonly SnapshotTree[]): string[] {
  return trees.flatMap((tree) => [treeTitle(tree), ...branchLines(tree, "")]);
}

function branchLines(tree: SnapshotTree, indent: string): string[] {
  const branches: { title: string; below: SnapshotTree | null }[] = [
    ...tree.snapshots.map((below) => ({ title: treeTitle(below), below })),
    ...tree.volumes.map(({ slug }) => ({ title: `volume ${escapeLine(slug)}`, below: null })),
    ...tree.sandboxes.map(({ id, name }) => ({ title: `sandbox ${escapeLine(name ?? id)}`, below: null })),
  ];
  return branches.flatMap(({ title, below }, index) => {
    const isLast = index === branches.length - 1;
    const line = `${indent}${isLast ? "└─ " : "├─ "}${title}`;
    return below === null ? [line] : [line, ...branchLines(below, `${indent}${isLast ? "   " : "│  "}`)];
  });
}

function treeTitle({ slug, allocatedBytes }: SnapshotTree): string {
  return `${escapeLine(slug)} (${humanSize(allocatedBytes)})`;
}

export function treeJson(tree: SnapshotTree): Record<string, unknown> {
  return {
    ...tree,
    createdAt: new Date(tree.createdAt).toISOString(),
    snapshots: tree.snapshots.map(treeJson),
  };
}
