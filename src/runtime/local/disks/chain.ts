/** The files that a disk is made of, from the lowest up, checked before anybody is given them. */
import { stat } from "node:fs/promises";
import { MAX_DISK_LAYERS, type DiskLayerRecord } from "../../../protocol/disk-calls.ts";
import type { DiskStore } from "../../../store/disks/disk-store.ts";
import type { LayerRow } from "../../../store/disks/layer-store.ts";
import { SbxError } from "../../errors.ts";
import type { DiskContext } from "./disk-context.ts";

/** Layers under one that a snapshot puts on top. */
const MAX_SNAPSHOT_LAYERS = MAX_DISK_LAYERS - 56;

/** What a chain belongs to, for messages. */
export interface ChainOwner {
  kind: "volume" | "snapshot" | "checkpoint";
  slug: string;
}

/**
 * The chain that ends with a layer.
 *
 * @throws SbxError `volume_broken` or `snapshot_broken` naming what is wrong with which file
 */
export async function openChain(context: DiskContext, layerId: string, owner: ChainOwner): Promise<DiskLayerRecord[]> {
  const chain = context.state.disks.layers.chain(layerId);
  const [fault] = await chainFaults(context, chain);
  if (fault !== undefined) throw brokenChain(owner, fault);
  return [...(await imageLayer(context, chain)), ...layerRecords(context, chain)];
}

/**
 * Refuses another layer on a chain that is long: QEMU opens all of them, and what is made from it needs room for its own.
 *
 * @throws SbxError `unsupported`
 */
export function refuseLongChain(disks: DiskStore, layerId: string, title: string, hint: string): void {
  if (disks.layers.chain(layerId).length < MAX_SNAPSHOT_LAYERS) return;
  const message = `${title} has ${MAX_SNAPSHOT_LAYERS} layers, one for each snapshot that was ever taken, and can have no more`;
  throw new SbxError("unsupported", message, { hint });
}

export function brokenChain({ kind, slug }: ChainOwner, fault: string): SbxError {
  const code = kind === "volume" ? "volume_broken" : "snapshot_broken";
  const hint = kind === "checkpoint" ? `sbx checkpoint remove ${slug}` : `sbx ${kind} inspect ${slug}`;
  return new SbxError(code, `${kind} ${slug} is damaged: ${fault}`, { hint });
}

/** Everything that is wrong with a chain, the lowest fault first. Looks at sizes, times and headers, not at contents. */
export async function chainFaults(context: DiskContext, chain: readonly LayerRow[]): Promise<string[]> {
  const faults: string[] = [];
  const [lowest] = chain;
  if (lowest === undefined || lowest.parent !== null) faults.push("a layer below it is not recorded");
  if (lowest?.baseImage != null) {
    const image = await context.images.store.open(lowest.baseImage).catch((error: unknown) => error as Error);
    if (image instanceof Error) faults.push(image.message);
  }
  for (const layer of chain) {
    const fault = await context.state.layerFiles.fault(layer);
    if (fault !== null) faults.push(fault);
  }
  return faults;
}

async function imageLayer({ images }: DiskContext, chain: readonly LayerRow[]): Promise<DiskLayerRecord[]> {
  const imageId = chain[0]?.baseImage ?? null;
  return imageId === null ? [] : [{ path: (await images.store.open(imageId)).rootPath, format: "raw" }];
}

function layerRecords({ state }: DiskContext, chain: readonly LayerRow[]): DiskLayerRecord[] {
  return chain.map((layer) => ({ path: state.layerFiles.pathOf(layer), format: layer.format }));
}

/** What a chain takes on the disk: all of it, and the part above the next snapshot below, which counts that. */
export async function chainBytes(
  context: DiskContext,
  layerId: string,
): Promise<{ allocatedBytes: number; flattenedBytes: number }> {
  const { disks, layerFiles } = context.state;
  const chain = disks.layers.chain(layerId);
  const counted = new Set(disks.snapshots.listReady().map(({ layer }) => layer));
  let [allocatedBytes, flattenedBytes] = [0, 0];
  let isOwn = true;
  for (const layer of chain.toReversed()) {
    const bytes = await layerFiles.allocatedBytes(layer);
    if (layer.id !== layerId && counted.has(layer.id)) isOwn = false;
    if (isOwn) allocatedBytes += bytes;
    flattenedBytes += bytes;
  }
  const image = await imageLayer(context, chain).catch(() => []);
  for (const { path } of image) flattenedBytes += await allocatedFileBytes(path);
  return { allocatedBytes, flattenedBytes };
}

async function allocatedFileBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}
