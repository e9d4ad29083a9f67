/** Writing a disk to one file (disk-file.ts): all that its chain holds, read from where it lies. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { link, open, rename, stat, unlink, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import { syncPath } from "../../../host/durable-file.ts";
import type { DiskLayerRecord } from "../../../protocol/disk-calls.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { throwIfAborted } from "../../abort.ts";
import { openRoot } from "../../copy/directory-handle.ts";
import { Staging } from "../../copy/staging.ts";
import type { ExportReport, ExportTarget } from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import { openChain } from "./chain.ts";
import { mapChain, type Extent } from "./chain-map.ts";
import { releaseOwnClaim, type DiskContext } from "./disk-context.ts";
import { encodeBlockHead, encodeHeader, hashedHead, HASH_BYTES, MAX_BLOCK_BYTES, VERSION } from "./disk-file.ts";
import { explainDiskError } from "./disk-errors.ts";
import { requireThere } from "./sandbox-disks.ts";
import type { DiskFileHeader } from "./disk-file.ts";
import { diskBytesFor } from "./volume-file-system.ts";

const compress = promisify(zstdCompress);
/** Blocks that are read and packed while others are written. */
const AHEAD = 4;

export async function exportVolume(
  context: DiskContext,
  row: VolumeRow,
  target: ExportTarget,
  options: CallOptions,
): Promise<ExportReport> {
  const { disks } = context.state;
  const { holder, volume } = disks.change(() => ({
    holder: disks.claims.claimForProcess(row, "read-only", "volume export"),
    // As it is now that nobody writes to it: with a head that was put on top since, and none that is still to be.
    volume: requireThere(context, row),
  }));
  try {
    const { slug, imageId, createdAt } = volume;
    const layers = await openChain(context, volume.head, { kind: "volume", slug });
    const facts = { kind: "volume" as const, slug, sizeBytes: diskBytesFor(volume.capacityBytes), imageId, createdAt };
    return await exportChain(context, layers, facts, target, options);
  } finally {
    releaseOwnClaim(context.state, row.id, holder);
  }
}

export async function exportSnapshot(
  context: DiskContext,
  row: SnapshotRow,
  target: ExportTarget,
  options: CallOptions,
): Promise<ExportReport> {
  const layers = await openChain(context, row.layer, { kind: "snapshot", slug: row.slug });
  const facts = { kind: "snapshot" as const, slug: row.slug, sizeBytes: row.sizeBytes, imageId: row.imageId };
  return exportChain(context, layers, { ...facts, createdAt: row.createdAt }, target, options);
}

type Facts = Omit<DiskFileHeader, "version" | "contentBytes">;

async function exportChain(
  context: DiskContext,
  layers: readonly DiskLayerRecord[],
  facts: Facts,
  target: ExportTarget,
  options: CallOptions,
): Promise<ExportReport> {
  const extents = (await mapChain(layers, options.signal)).flatMap((extent) => withinDisk(extent, facts.sizeBytes));
  const contentBytes = extents.reduce((sum, { length }) => sum + length, 0);
  const header = { version: VERSION, ...facts, contentBytes } as const;
  const work = async (output: Writable): Promise<ExportReport> =>
    writeDiskFile(output, header, readExtents(layers, extents), options);
  if ("overwrite" in target) return intoFile(context, target, work);
  // The stream is the caller's, who ends it.
  const relay = new PassThrough({ highWaterMark: MAX_BLOCK_BYTES });
  const [report] = await Promise.all([work(relay), pipeline(relay, target, { end: false })]);
  return report;
}

/** Layers are whole clusters and may go on behind the disk's end. */
function withinDisk(extent: Extent, sizeBytes: number): Extent[] {
  const length = Math.min(extent.length, sizeBytes - extent.start);
  return length > 0 ? [{ ...extent, length }] : [];
}

export interface DiskBlock {
  offset: number;
  data: Buffer;
}

/** Reads the content in blocks, in order. */
async function* readExtents(
  layers: readonly DiskLayerRecord[],
  extents: readonly Extent[],
): AsyncGenerator<DiskBlock, void, undefined> {
  const files: FileHandle[] = [];
  try {
    for (const layer of layers) files.push(await open(layer.path, "r"));
    for (const extent of extents) {
      for (let done = 0; done < extent.length; done += MAX_BLOCK_BYTES) {
        const length = Math.min(MAX_BLOCK_BYTES, extent.length - done);
        yield { offset: extent.start + done, data: await readAt(files[extent.layer], extent.offset + done, length) };
      }
    }
  } finally {
    for (const file of files) await file.close();
  }
}

/** What lies behind a file's end reads as zeros, as it does for QEMU. */
async function readAt(file: FileHandle | undefined, position: number, length: number): Promise<Buffer> {
  const data = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = (await file?.read(data, done, length - done, position + done)) ?? { bytesRead: 0 };
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return data;
}

/** Writes the file's bytes and ends the output. Blocks are packed side by side and written in order. */
export async function writeDiskFile(
  output: Writable,
  header: DiskFileHeader,
  blocks: AsyncIterable<DiskBlock>,
  { signal, onProgress }: CallOptions,
): Promise<ExportReport> {
  const failed = finished(output, { readable: false });
  failed.catch(() => undefined);
  const hash = createHash("sha256");
  const report = { contentBytes: 0, fileBytes: 0 };
  const write = async (bytes: Buffer): Promise<void> => {
    report.fileBytes += bytes.length;
    if (!output.write(bytes)) await Promise.race([once(output, "drain"), failed]);
  };
  const head = encodeHeader(header);
  hash.update(head);
  await write(head);
  const packing: Promise<Buffer>[] = [];
  for await (const block of blocks) {
    throwIfAborted(signal, "exporting the disk");
    hash.update(hashedHead({ offset: block.offset, length: block.data.length })).update(block.data);
    report.contentBytes += block.data.length;
    packing.push(pack(block));
    if (packing.length < AHEAD) continue;
    await write((await packing.shift()) ?? Buffer.alloc(0));
    const { contentBytes: done } = report;
    onProgress?.({ stage: "export", message: "exporting", done, total: header.contentBytes, unit: "bytes" });
  }
  for (const packed of packing) await write(await packed);
  const digest = hash.digest();
  const end = { offset: report.contentBytes, length: 0, packedLength: HASH_BYTES };
  await write(Buffer.concat([encodeBlockHead(end), digest]));
  output.end();
  await failed;
  return { ...report, sha256: digest.toString("hex") };
}

async function pack({ offset, data }: DiskBlock): Promise<Buffer> {
  const packed = await compress(data);
  const bytes = packed.length < data.length ? packed : data;
  return Buffer.concat([encodeBlockHead({ offset, length: data.length, packedLength: bytes.length }), bytes]);
}

/**
 * Fills a file that takes its name when it is whole. What a killed export leaves is recorded as a copy's incomplete
 * files are, and removed by the next command.
 */
async function intoFile(
  { state }: DiskContext,
  target: { path: string; overwrite: boolean },
  work: (output: Writable) => Promise<ExportReport>,
): Promise<ExportReport> {
  const place = path.resolve(target.path);
  if (!target.overwrite && (await exists(place))) throw fileExists(place);
  try {
    using directory = openRoot(path.dirname(place));
    using staging = new Staging(directory, path.dirname(place), (made) => state.staging.add(made));
    try {
      const unfinished = staging.next();
      const report = await work(createWriteStream(unfinished, { flags: "wx", mode: 0o600 }));
      await syncPath(String(unfinished));
      if (target.overwrite) {
        await rename(unfinished, place);
        staging.release();
      } else {
        await link(unfinished, place);
        await unlink(unfinished);
        staging.release();
      }
      await syncPath(path.dirname(place));
      return report;
    } finally {
      state.staging.forget(staging.path);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw fileExists(place);
    throw explainFileError(error, place);
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

function fileExists(file: string): SbxError {
  return new SbxError("file_error", `${file} is there already`, { hint: "choose another name, or give --force" });
}

function explainFileError(error: unknown, file: string): unknown {
  const explained = explainDiskError(error, path.dirname(file));
  const { code } = explained as NodeJS.ErrnoException;
  if (explained instanceof SbxError || code === undefined) return explained;
  return new SbxError("file_error", `${file} cannot be written (${code})`, { cause: error });
}
