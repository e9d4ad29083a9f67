/**
 * Making a volume or snapshot of a disk file that somebody else may have written. It becomes one raw file, whose format
 * nobody guesses: whatever a guest or a forger wrote into the disk's first bytes, QEMU is told that they are data.
 */
import { open, statfs, type FileHandle } from "node:fs/promises";
import { newLayerId, newSnapshotId, newVolumeId } from "../../../store/disks/disk-names.ts";
import type { NewLayer } from "../../../store/disks/layer-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type { ImportSpec } from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import type { DiskContext } from "./disk-context.ts";
import { explainDiskError } from "./disk-errors.ts";
import { DiskFileReader } from "./disk-file-reader.ts";
import type { DiskFileHeader } from "./disk-file.ts";
import { takeBack } from "./garbage.ts";
import { MIN_VOLUME_BYTES } from "./volume-file-system.ts";

/** What stays free for everything else, `bytes`. */
const RESERVE_BYTES = 256 * 1024 ** 2;
/** Parts of a block that are all zeros become holes. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/** Returns the id of the new volume. @throws SbxError `disk_file_invalid`, `name_in_use`, `disk_full`; nothing is left then */
export async function importVolume(
  context: DiskContext,
  source: AsyncIterable<Uint8Array>,
  spec: ImportSpec,
  options: CallOptions,
): Promise<string> {
  const { disks } = context.state;
  const id = newVolumeId();
  return importDisk(
    context,
    source,
    { ...options, ...spec },
    {
      begin: (header, layer) => {
        const slug = spec.slug ?? header.slug;
        disks.checkName(slug);
        const { sizeBytes: capacityBytes, imageId } = header;
        disks.volumes.begin({ id, slug, capacityBytes, head: layer.id, imageId, base: null }, Date.now());
      },
      complete: async (layer) => {
        disks.change(() => {
          disks.layers.open(layer.id);
          disks.volumes.ready(id);
        });
        return id;
      },
      forget: () => disks.volumes.forget(id),
    },
  );
}

/** As {@link importVolume}, of a snapshot. */
export async function importSnapshot(
  context: DiskContext,
  source: AsyncIterable<Uint8Array>,
  spec: ImportSpec,
  options: CallOptions,
): Promise<string> {
  const { disks, layerFiles } = context.state;
  const id = newSnapshotId();
  return importDisk(
    context,
    source,
    { ...options, ...spec },
    {
      begin: (header, layer) => {
        const slug = spec.slug ?? header.slug;
        disks.checkName(slug);
        const { sizeBytes, imageId } = header;
        const origin = { kind: "file" as const, id: "", name: header.slug };
        const facts = { layer: layer.id, sizeBytes, imageId, source: origin, parentId: null, isClean: true };
        disks.snapshots.begin({ id, slug, ...facts }, Date.now());
      },
      complete: async (layer) => {
        const stamp = await layerFiles.seal(layer);
        disks.change(() => {
          disks.layers.seal(layer.id, stamp);
          disks.snapshots.ready(id);
        });
        return id;
      },
      forget: () => disks.snapshots.forget(id),
    },
  );
}

interface ImportKind {
  /** Records what is to be, in a transaction. */
  begin: (header: DiskFileHeader, layer: NewLayer) => void;
  complete: (layer: NewLayer) => Promise<string>;
  forget: () => void;
}

async function importDisk(
  { state }: DiskContext,
  source: AsyncIterable<Uint8Array>,
  options: CallOptions & ImportSpec,
  kind: ImportKind,
): Promise<string> {
  const { disks, layerFiles } = state;
  const reader = new DiskFileReader(source);
  try {
    const header = await reader.header();
    checkSize(header, options.maxBytes);
    await checkRoom(header, state.paths.dataPath);
    const shape = { parent: null, baseImage: null, format: "raw", sizeBytes: header.sizeBytes } as const;
    const layer: NewLayer = { id: newLayerId(), ...shape };
    disks.change(() => {
      kind.begin(header, layer);
      disks.layers.begin(layer, Date.now());
    });
    try {
      const file = await layerFiles.makeRaw(layer, header.sizeBytes);
      await fill(file, reader, header, options);
      return await kind.complete(layer);
    } catch (error) {
      await takeBack(state, [layer], kind.forget);
      throw explainDiskError(error, layerFiles.directory);
    }
  } finally {
    await reader.close();
  }
}

function checkSize({ sizeBytes }: DiskFileHeader, maxBytes = Infinity): void {
  if (sizeBytes <= maxBytes) return;
  throw new SbxError(
    "disk_file_invalid",
    `the file cannot be imported: its disk has ${sizeBytes} bytes, and may have ${Math.max(0, maxBytes)}`,
    { hint: "sbx volume list" },
  );
}

/** What the file says it holds has to fit before a byte of it is written. */
async function checkRoom({ contentBytes, sizeBytes }: DiskFileHeader, directory: string): Promise<void> {
  if (sizeBytes < MIN_VOLUME_BYTES) {
    throw new SbxError("disk_file_invalid", `the file cannot be imported: its disk has only ${sizeBytes} bytes`);
  }
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (contentBytes + RESERVE_BYTES <= free) return;
  const needed = Math.ceil((contentBytes + RESERVE_BYTES) / 1e6);
  throw new SbxError("disk_full", `the import needs ${needed} MB, and ${directory} has ${Math.floor(free / 1e6)} MB`, {
    hint: "sbx prune",
  });
}

async function fill(
  path: string,
  reader: DiskFileReader,
  header: DiskFileHeader,
  { signal, onProgress }: CallOptions,
): Promise<void> {
  const file = await open(path, "r+");
  try {
    let done = 0;
    for await (const { offset, data } of reader.blocks()) {
      throwIfAborted(signal, "importing the disk");
      await writeSparse(file, offset, data);
      done += data.length;
      onProgress?.({ stage: "import", message: "importing", done, total: header.contentBytes, unit: "bytes" });
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeSparse(file: FileHandle, offset: number, data: Buffer): Promise<void> {
  for (let from = 0; from < data.length;) {
    let to = from;
    while (to < data.length && !isHole(data, to)) to = Math.min(to + HOLE_BYTES, data.length);
    if (to > from) await writeAll(file, offset + from, data.subarray(from, to));
    from = to;
    while (from < data.length && isHole(data, from)) from = Math.min(from + HOLE_BYTES, data.length);
  }
}

function isHole(data: Buffer, at: number): boolean {
  const part = data.subarray(at, at + HOLE_BYTES);
  return part.equals(part.length === HOLE_BYTES ? ZEROS : ZEROS.subarray(0, part.length));
}

async function writeAll(file: FileHandle, position: number, data: Buffer): Promise<void> {
  for (let done = 0; done < data.length;) {
    done += (await file.write(data, done, data.length - done, position + done)).bytesWritten;
  }
}
