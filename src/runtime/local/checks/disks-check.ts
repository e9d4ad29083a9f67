/** Whether volumes, snapshots and checkpoints are whole, and whether there are files that nobody knows. */
import { readdir } from "node:fs/promises";
import path from "node:path";
import type { CallOptions, Check } from "../../types.ts";
import { checkpointFaults } from "../copies/checkpoint-faults.ts";
import { chainFaults } from "../disks/chain.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { damagedCatalogues } from "../disks/prune-disks.ts";
import { failed, failedBy, info, ok, warning } from "./check-result.ts";

const SUBJECT = { id: "disks", title: "Volumes" };
/** As many damaged ones are named; the rest is counted. */
const NAMED = 3;

interface Damaged {
  kind: "volume" | "snapshot" | "checkpoint";
  slug: string;
  fault: string;
}

/** Looks at sizes, times and headers of all files. */
export async function checkDisks(context: DiskContext, options: CallOptions = {}): Promise<Check> {
  try {
    const { disks } = context.state;
    const volumes = disks.volumes.listReady();
    const snapshots = disks.snapshots.listReady();
    const checkpoints = disks.checkpoints.listNamed().filter(isReady);
    const damaged = await findDamaged(context, options);
    const [first] = damaged;
    if (first !== undefined) return reportDamaged(damaged, first);
    const [catalogue] = damagedCatalogues(context.state);
    if (catalogue !== undefined) {
      return warning(SUBJECT, `their record could not be read and was set aside at ${catalogue}`, "sbx prune");
    }
    const waiting = disks.volumes.unsettled().length + disks.claims.unsettledDisks().length;
    if (waiting > 0) return warning(SUBJECT, `${waiting} wait for a sandbox to answer`, "sbx list");
    const unknown = await unknownFiles(context);
    if (unknown.length > 0) {
      const where = context.state.paths.layersPath;
      return warning(SUBJECT, `${unknown.length} files in ${where} belong to nothing that is known`, `ls ${where}`);
    }
    if (volumes.length + snapshots.length + checkpoints.length === 0) return info(SUBJECT, "none");
    const counted = [
      [volumes.length, "volume"],
      [snapshots.length, "snapshot"],
      [checkpoints.length, "checkpoint"],
    ] as const;
    const named = counted
      .filter(([count]) => count > 0)
      .map(([count, word]) => `${count} ${word}${count > 1 ? "s" : ""}`);
    return ok(SUBJECT, `${named.join(", ")}: all whole`);
  } catch (error) {
    options.signal?.throwIfAborted();
    return failedBy(SUBJECT, error, "sbx volume list");
  }
}

async function findDamaged(context: DiskContext, { signal }: CallOptions): Promise<Damaged[]> {
  const { disks } = context.state;
  const all = [
    ...disks.volumes.listReady().map(({ slug, head }) => ({ kind: "volume" as const, slug, layer: head })),
    ...disks.snapshots.listReady().map(({ slug, layer }) => ({ kind: "snapshot" as const, slug, layer })),
  ];
  const damaged: Damaged[] = [];
  for (const { kind, slug, layer } of all) {
    signal?.throwIfAborted();
    const [fault] = await chainFaults(context, disks.layers.chain(layer));
    if (fault !== undefined) damaged.push({ kind, slug, fault });
  }
  for (const checkpoint of disks.checkpoints.listNamed().filter(isReady)) {
    signal?.throwIfAborted();
    const [fault] = await checkpointFaults(context, checkpoint);
    if (fault !== undefined) damaged.push({ kind: "checkpoint", slug: checkpoint.name, fault });
  }
  return damaged;
}

function isReady({ state }: { state: string }): boolean {
  return state === "ready";
}

function reportDamaged(damaged: readonly Damaged[], first: Damaged): Check {
  const named = damaged.slice(0, NAMED).map(({ kind, slug, fault }) => `${kind} ${slug}: ${fault}`);
  const more = damaged.length > NAMED ? [`and ${damaged.length - NAMED} more`] : [];
  return failed(SUBJECT, [...named, ...more].join("; "), `sbx ${first.kind} inspect ${first.slug}`);
}

/** Every file is recorded before it is made: these are another program's, or of a database that was lost. */
async function unknownFiles({ state }: DiskContext): Promise<string[]> {
  const known = new Set(state.disks.layers.list().map((layer) => path.basename(state.layerFiles.pathOf(layer))));
  const names = await readdir(state.paths.layersPath).catch(() => []);
  return names.filter((name) => name.startsWith("lyr_") && !known.has(name));
}
