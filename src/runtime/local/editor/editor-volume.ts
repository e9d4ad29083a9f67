/**
 * The disk of VS Code for the browser: a volume like any other, made once, that any number of sandboxes read. It is
 * listed, exported and removed as volumes are; a sandbox that has it is known by its claim.
 *
 * What other sandboxes run from it must not be what one of them wrote: if it was ever attached for writing, its file has
 * another stamp than the one recorded when it was made, and it is not used any more.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { editorRecipePath } from "../../../host/package-root.ts";
import { writeDurably } from "../../../host/durable-file.ts";
import { newLayerId, newVolumeId } from "../../../store/disks/disk-names.ts";
import type { DiskStore } from "../../../store/disks/disk-store.ts";
import type { LayerStamp, NewLayer } from "../../../store/disks/layer-store.ts";
import type { NewVolume, VolumeRow } from "../../../store/disks/volume-store.ts";
import { acquireLock } from "../../../store/locks.ts";
import { readEditorRecipe, type EditorRecipe } from "../../../vm/editor/recipe.ts";
import { hostArchitecture } from "../../../vm/image/recipe.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { explainDiskError } from "../disks/disk-errors.ts";
import { takeBack } from "../disks/garbage.ts";
import { EDITOR_PREFIX } from "../leftovers.ts";

const LOCK = "editor-volume";
const RECORD_FILE = "editor.json";
/** Of the recipe's hash, in the volume's name. */
const HASH_DIGITS = 8;

const recordSchema = z.strictObject({
  volumeId: z.string(),
  head: z.string(),
  stamp: z.strictObject({ sizeBytes: z.number(), mtimeNs: z.string() }),
});
type EditorRecord = z.infer<typeof recordSchema>;

/**
 * The volume; makes it if there is none.
 *
 * @throws SbxError `image_build_failed`, `disk_full`, `name_in_use`; `volume_broken` for one that was written to
 */
export async function openEditorVolume(context: DiskContext, options: CallOptions): Promise<VolumeRow> {
  const recipe = await readEditorRecipe(editorRecipePath(), hostArchitecture());
  const slug = editorSlug(recipe);
  const ready = await findReady(context, slug);
  if (ready !== undefined) return ready;
  const { database } = context.state;
  const { signal } = options;
  await using _lock = await acquireLock(database, LOCK, {
    ...(signal === undefined ? {} : { signal }),
    onWait: () => options.onProgress?.({ stage: "editor", message: "waiting for another sbx that makes it" }),
  });
  return (await findReady(context, slug)) ?? (await makeVolume(context, recipe, slug, options));
}

/** `vscode-4-139-1-ab12cd34`: another recipe is another volume. */
function editorSlug({ version, hash }: EditorRecipe): string {
  return `vscode-${version.replaceAll(".", "-")}-${hash.slice(0, HASH_DIGITS)}`;
}

async function findReady({ state }: DiskContext, slug: string): Promise<VolumeRow | undefined> {
  const row = state.disks.volumes.listReady().find((item) => item.slug === slug);
  if (row === undefined) return undefined;
  const record = await readRecord(state.paths.dataPath);
  const layer = state.disks.layers.get(row.head);
  const isOwn = record !== undefined && layer !== undefined && record.volumeId === row.id && record.head === row.head;
  const fault = isOwn ? await state.layerFiles.fault({ ...layer, stamp: record.stamp }) : "it is not as sbx made it";
  if (fault === null) return row;
  throw new SbxError("volume_broken", `volume ${slug}, which VS Code is on, cannot be used: ${fault}`, {
    hint: `sbx volume remove ${slug}, and it is made anew`,
  });
}

async function makeVolume(
  { state }: DiskContext,
  recipe: EditorRecipe,
  slug: string,
  options: CallOptions,
): Promise<VolumeRow> {
  const { disks, layerFiles } = state;
  const shape = { parent: null, baseImage: null, format: "raw", sizeBytes: recipe.capacityBytes } as const;
  const head: NewLayer = { id: newLayerId(), ...shape };
  const facts = { capacityBytes: recipe.capacityBytes, head: head.id, imageId: null, base: null };
  const volume: NewVolume = { id: newVolumeId(), slug, ...facts };
  disks.change(() => {
    disks.checkName(slug);
    disks.layers.begin(head, Date.now());
    disks.volumes.begin(volume, Date.now());
  });
  try {
    const filePath = await layerFiles.makeRaw(head, recipe.capacityBytes);
    // Loaded here: it is needed once.
    const { writeEditorDisk } = await import("../../../vm/editor/disk.ts");
    const scratchPrefix = path.join(state.paths.statePath, `${EDITOR_PREFIX}${process.pid}-`);
    await writeEditorDisk({ recipe, filePath, scratchPrefix, uuid: randomUUID(), ...options });
    const stamp: LayerStamp = await layerFiles.seal(head);
    const last = await readRecord(state.paths.dataPath);
    await writeRecord(state.paths.dataPath, { volumeId: volume.id, head: head.id, stamp });
    disks.change(() => {
      disks.layers.open(head.id);
      disks.volumes.ready(volume.id);
      if (last !== undefined) retire(disks, last.volumeId);
    });
  } catch (error) {
    await takeBack(state, [head], () => disks.volumes.forget(volume.id));
    throw explainDiskError(error, layerFiles.directory);
  }
  const row = disks.volumes.get(volume.id);
  if (row === undefined) throw new SbxError("volume_not_found", `volume ${slug} was removed meanwhile`);
  return row;
}

/** The one of an earlier version goes as a removed volume does, unless a sandbox has it still. */
function retire(disks: DiskStore, volumeId: string): void {
  const row = disks.volumes.get(volumeId);
  if (row === undefined || row.removedAt !== null || disks.claims.of(volumeId).length > 0) return;
  disks.volumes.markRemoved(volumeId, Date.now());
}

async function readRecord(dataPath: string): Promise<EditorRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(path.join(dataPath, RECORD_FILE), "utf8")));
  } catch {
    return undefined; // Missing or damaged: then nothing vouches for the volume.
  }
}

async function writeRecord(dataPath: string, record: EditorRecord): Promise<void> {
  await writeDurably(path.join(dataPath, RECORD_FILE), `${JSON.stringify(record)}\n`, 0o600);
}
