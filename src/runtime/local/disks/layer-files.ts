/**
 * The files of layers, in one directory. Each has a record (store/disks) before it is there. What was sealed is checked
 * by its stamp before it is used: other programs of the user can write here, and disks fail.
 */
import { constants } from "node:fs";
import { chmod, chown, copyFile, link, mkdir, open, rm, stat } from "node:fs/promises";
import path from "node:path";
import { syncPath } from "../../../host/durable-file.ts";
import type { LayerFormat, LayerRow, LayerStamp } from "../../../store/disks/layer-store.ts";
import { emptyQcow2, qcow2DiskBytes } from "./empty-qcow2.ts";

type LayerFile = Pick<LayerRow, "id" | "format">;

/** QEMU of each sandbox has another account, and the directory lets nobody else in. */
const SEALED_MODE = 0o644;
const QCOW2_HEADER_BYTES = 104;
const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

export class LayerFiles {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  pathOf({ id, format }: LayerFile): string {
    return path.join(this.directory, `${id}.${format}`);
  }

  /** Makes a file of zeros that takes no room. */
  async makeRaw(layer: LayerFile, sizeBytes: number): Promise<string> {
    return this.#make(layer, async (file) => file.truncate(sizeBytes));
  }

  /** Makes a layer without content over another one, and has it on the disk. */
  async makeOverlay(layer: LayerFile, sizeBytes: number, backingFormat: LayerFormat): Promise<string> {
    const { head, fileBytes } = emptyQcow2(sizeBytes, backingFormat);
    return this.#make(layer, async (file) => {
      await file.write(head, 0, head.length, 0);
      await file.truncate(fileBytes);
      await file.sync();
    });
  }

  /** Copies a file that does not change, without taking room for it where the file system can. */
  async copyFrom(layer: LayerFile, source: string): Promise<string> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const target = this.pathOf(layer);
    await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    return target;
  }

  /** Gives a file that nobody writes to any more a second name here; copies it from another file system. */
  async linkFrom(layer: LayerFile, source: string): Promise<string> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const target = this.pathOf(layer);
    // Repeated after a kill it may be there already, or a part of its copy.
    if (await isSameFile(source, target)) return target;
    await rm(target, { force: true });
    try {
      await link(source, target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EXDEV" && code !== "EPERM" && code !== "EMLINK") throw error;
      await copyFile(source, target, constants.COPYFILE_FICLONE);
    }
    return target;
  }

  /** Ends a layer's changes: on the disk, readable for every sandbox's QEMU, its stamp taken. */
  async seal(layer: LayerFile): Promise<LayerStamp> {
    const file = this.pathOf(layer);
    // As root: the layer of a sandbox belongs to its QEMU's account.
    if (process.getuid?.() === 0) await chown(file, 0, process.getgid?.() ?? 0);
    await chmod(file, SEALED_MODE);
    await syncPath(file);
    return stampOf(file);
  }

  async remove(layer: LayerFile): Promise<void> {
    await rm(this.pathOf(layer), { force: true });
  }

  async isThere(layer: LayerFile): Promise<boolean> {
    try {
      await stat(this.pathOf(layer));
      return true;
    } catch (error) {
      // One that cannot be looked at is not taken for one that is gone.
      return (error as NodeJS.ErrnoException).code !== "ENOENT";
    }
  }

  /** Bytes that it takes on the disk; 0 if it is not there. */
  async allocatedBytes(layer: LayerFile): Promise<number> {
    const found = await stat(this.pathOf(layer)).catch(() => null);
    return (found?.blocks ?? 0) * 512;
  }

  /** What is wrong with a layer's file, in words; `null` for nothing that can be seen at a glance. */
  async fault(layer: LayerRow): Promise<string | null> {
    const file = this.pathOf(layer);
    let found: LayerStamp;
    try {
      found = await stampOf(file);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === "ENOENT" ? `${file} is missing` : `${file} cannot be read (${code ?? String(error)})`;
    }
    if (layer.stamp !== null) {
      const { sizeBytes, mtimeNs } = layer.stamp;
      if (found.sizeBytes !== sizeBytes) return `${file} has ${found.sizeBytes} bytes instead of ${sizeBytes}`;
      if (!isSameTime(BigInt(found.mtimeNs), BigInt(mtimeNs))) return `${file} was written to after it was sealed`;
    }
    if (layer.format === "raw") {
      const isWhole = found.sizeBytes === layer.sizeBytes;
      return isWhole ? null : `${file} has ${found.sizeBytes} bytes instead of ${layer.sizeBytes}`;
    }
    const diskBytes = await readDiskBytes(file);
    if (diskBytes === null) return `${file} is no qcow2 file`;
    return diskBytes === layer.sizeBytes ? null : `${file} shows ${diskBytes} bytes instead of ${layer.sizeBytes}`;
  }

  async #make(layer: LayerFile, fill: (file: Awaited<ReturnType<typeof open>>) => Promise<unknown>): Promise<string> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const target = this.pathOf(layer);
    const file = await open(target, "wx", 0o600);
    try {
      await fill(file);
    } finally {
      await file.close();
    }
    // Its name as well: a record of a file that is not there after a loss of power would be a damaged disk.
    await syncPath(this.directory);
    return target;
  }
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map(async (file) => stat(file).catch(() => null)));
  return first != null && second != null && first.dev === second.dev && first.ino === second.ino;
}

/** A home that was copied is whole, and not every program that copies keeps times to the last digit. */
function isSameTime(found: bigint, sealed: bigint): boolean {
  const difference = found - sealed;
  return (difference > -NS_PER_MS && difference < NS_PER_MS) || found === sealed - (sealed % NS_PER_SECOND);
}

async function stampOf(file: string): Promise<LayerStamp> {
  const { size, mtimeNs } = await stat(file, { bigint: true });
  return { sizeBytes: Number(size), mtimeNs: String(mtimeNs) };
}

async function readDiskBytes(file: string): Promise<number | null> {
  const handle = await open(file, "r");
  try {
    const header = Buffer.alloc(QCOW2_HEADER_BYTES);
    const { bytesRead } = await handle.read(header, 0, header.length, 0);
    return qcow2DiskBytes(header.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}
