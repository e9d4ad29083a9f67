/**
 * The disks of a running machine: gives it some, takes them away, and freezes what any of them holds. Disks are SCSI
 * disks on the controller that every machine has; `root` is the one that it was started with. A disk is a chain of files,
 * which QEMU gets as descriptors (qemu-files.ts); the last is written to, if any is.
 *
 * Whatever step fails, the steps before it are undone: a disk is there as a whole or not at all.
 */
import { constants } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { SbxError } from "../runtime/errors.ts";
import { overlayNode, ROOT_NODE, chainNode } from "./disk-nodes.ts";
import type { DiskLayer } from "./machine-spec.ts";
import type { FileSet, GivenFd, QemuFiles } from "./qemu-files.ts";
import type { DiskWrites } from "./qemu-args.ts";
import type { Qmp } from "./qmp.ts";
import { virtualBytes } from "./virtual-size.ts";

/** How long QEMU may take to let go of a disk, on a host under load. `ms` */
const UNPLUG_DEADLINE_MS = 20_000;
/** How long one that was killed may take to end, and until when it holds its lock. `ms` */
const LOCK_DEADLINE_MS = 5_000;
const LOCK_INTERVAL_MS = 20;

export const ROOT_DISK = "root";

export interface DiskSpec {
  /** The disk's serial number in the guest, and its name here: a letter, then up to 35 letters, digits, `_` and `-`. */
  serial: string;
  /** The chain, the last layer on top. */
  layers: readonly DiskLayer[];
  access: "read-write" | "read-only";
  /** Where the guest knows it already: it is restored in the middle of using it. */
  place?: DiskPlace;
}

/** Of a disk on the controller. */
export interface DiskPlace {
  scsiId: number;
  lun: number;
}

export interface MachineDisksOptions {
  qmp: Qmp;
  files: QemuFiles;
  /** The layer of the root disk that the machine was started on. */
  rootTop: DiskLayer;
  rootWrites: DiskWrites;
}

/** An empty qcow2 file, of the size of the disk that is to be written there from now on. */
export interface Overlay {
  disk: string;
  layerPath: string;
}

interface Node {
  name: string;
  /** `null` where QEMU opened the files by their paths. */
  files: FileSet[] | null;
  /** Which file is on top, whatever it is called by now; `null` for the root disk's first one. */
  top: string | null;
  /** Of the disk, `bytes`; `null` where it was not looked at yet. */
  bytes: number | null;
}

/** A file that QEMU was given. */
interface GivenFile {
  set: FileSet;
  inode: string;
  bytes: number | null;
}

/** Nodes of a disk that QEMU was told of, the one that is written to last. */
type Disk = Node[];

export class MachineDisks {
  readonly #options: MachineDisksOptions;
  readonly #disks = new Map<string, Disk>([[ROOT_DISK, [{ name: ROOT_NODE, files: null, top: null, bytes: null }]]]);
  /** One change at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #nextNode = 1;

  constructor(options: MachineDisksOptions) {
    this.#options = options;
  }

  /** Serial numbers of the disks that are attached. */
  get serials(): string[] {
    return [...this.#disks.keys()].filter((serial) => serial !== ROOT_DISK);
  }

  /**
   * Gives the machine a disk. The guest notices a moment later.
   *
   * @throws SbxError for a second one of this serial number, a file that cannot be opened, or with QEMU's words
   */
  async attach(spec: DiskSpec): Promise<void> {
    await this.#inTurn(async () => {
      const { serial } = spec;
      if (this.#disks.has(serial)) throw new SbxError("usage", `the disk ${serial} is attached already`);
      const node = await this.#addChain(spec);
      try {
        const place = spec.place === undefined ? {} : { "scsi-id": spec.place.scsiId, lun: spec.place.lun };
        const device = { driver: "scsi-hd", id: serial, bus: "scsi.0", drive: node.name, serial, ...place };
        // As with the root disk: a full disk of the host pauses the guest.
        await this.#execute("device_add", { ...device, werror: "stop", rerror: "report" });
      } catch (error) {
        await this.#removeNodes([node]);
        throw error;
      }
      this.#disks.set(serial, [node]);
    });
  }

  /** Where a disk is, for a copy of the machine. @throws SbxError for one that is not attached */
  async placeOf(serial: string): Promise<DiskPlace> {
    this.#disk(serial);
    const read = async (property: string): Promise<number> => {
      const value = await this.#options.qmp.execute("qom-get", { path: `/machine/peripheral/${serial}`, property });
      if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
      throw new SbxError("vm_start_failed", `QEMU does not say where the disk ${serial} is`);
    };
    return { scsiId: await read("scsi-id"), lun: await read("lun") };
  }

  /**
   * Takes a disk from the machine. The guest must be done with it.
   *
   * @throws SbxError `timeout` when QEMU does not let go of it, or with QEMU's words; it stays attached then
   */
  async detach(serial: string): Promise<void> {
    await this.#inTurn(async () => {
      const disk = this.#disk(serial);
      await this.#unplug(serial);
      this.#disks.delete(serial);
      await this.#removeNodes(disk);
    });
  }

  /**
   * Freezes what disks hold: from here on the guest's writes to each of them go to its overlay, all from the same moment
   * on. What was written to before is read-only afterwards, and QEMU has given its right to write it back where the file
   * was handed to it. Nothing opens these files by their paths any more.
   *
   * @param around makes the guest stand still, calls `take`, and lets it go on; it must call it once
   * @throws SbxError with QEMU's words, or what `around` throws: the disks are then as they were. `supervisor_lost` if
   *   `around` fails after `take`: they are frozen all the same; or if QEMU ends first, when nobody knows
   */
  async snapshot(overlays: readonly Overlay[], around: (take: () => Promise<void>) => Promise<void>): Promise<void> {
    await this.#inTurn(async () => {
      const disks = overlays.map(({ disk }) => this.#disk(disk));
      const nodes = await this.#addOverlays(overlays);
      const progress = { taken: false };
      try {
        await around(async () => {
          const actions = nodes.map(({ name }, index) => ({
            type: "blockdev-snapshot",
            data: { node: disks[index]?.at(-1)?.name, overlay: name },
          }));
          await this.#execute("transaction", { actions }).catch(unlessRefused);
          progress.taken = true;
        });
      } catch (cause) {
        if (!progress.taken) throw cause;
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new SbxError("supervisor_lost", `the disks were frozen, but the guest does not go on: ${why}`, { cause });
      } finally {
        if (progress.taken) await Promise.all(nodes.map(async (node, index) => this.#goesOn(disks[index] ?? [], node)));
        else await this.#removeNodes(nodes);
      }
    });
  }

  /** Whether a disk is written to this file already. */
  async isOnTop(disk: string, layerPath: string): Promise<boolean> {
    const found = await stat(layerPath, { bigint: true }).catch(() => null);
    return found !== null && this.#disk(disk).at(-1)?.top === inodeOf(found);
  }

  /**
   * Makes a disk larger. The guest notices a moment later; its file system is its own affair.
   *
   * @throws SbxError with QEMU's words
   */
  async resize(serial: string, bytes: number): Promise<void> {
    await this.#inTurn(async () => {
      const top = this.#top(serial);
      await this.#execute("block_resize", { "node-name": top.name, size: bytes });
      top.bytes = bytes;
    });
  }

  async #goesOn(disk: Disk, node: Node): Promise<void> {
    const former = disk.at(-1);
    disk.push(node);
    // QEMU is gone, or keeps what it does not need: the disk is frozen in any case.
    await Promise.allSettled((former?.files ?? []).map(async (files) => files.dropWritable()));
  }

  async #addChain({ layers, access }: DiskSpec): Promise<Node> {
    const given = await this.#give(
      layers.map((layer, index) => ({ layer, writable: access === "read-write" && index === layers.length - 1 })),
    );
    const files = given.map(({ set }) => set);
    const name = `disk${this.#nextNode++}`;
    try {
      const opened = layers.map(({ format }, index) => ({ format, path: files[index]?.path ?? "" }));
      await whenUnlocked(async () => this.#execute("blockdev-add", chainNode(name, opened, access)));
      return { name, files, top: given.at(-1)?.inode ?? null, bytes: given.at(-1)?.bytes ?? null };
    } catch (error) {
      await removeSets(files);
      throw error;
    }
  }

  async #addOverlays(overlays: readonly Overlay[]): Promise<Node[]> {
    const given = await this.#give(
      overlays.map(({ layerPath: path }) => ({ layer: { path, format: "qcow2" }, writable: true })),
    );
    const added: Node[] = [];
    try {
      for (const [index, { set, inode, bytes }] of given.entries()) {
        const name = `disk${this.#nextNode++}`;
        const writes = overlays[index]?.disk === ROOT_DISK ? this.#options.rootWrites : "kept";
        await this.#execute("blockdev-add", overlayNode(name, set.path, writes));
        added.push({ name, files: [set], top: inode, bytes });
      }
      await this.#requireEqualSizes(overlays, added);
      return added;
    } catch (error) {
      await this.#removeNodes(added);
      await removeSets(given.slice(added.length).map(({ set }) => set));
      throw error;
    }
  }

  /**
   * QEMU would take any: the guest's disk would change its size with it. It is not asked, as it tells of all layers of all
   * disks or of none, and takes seconds for that where they are a hundred.
   */
  async #requireEqualSizes(overlays: readonly Overlay[], nodes: readonly Node[]): Promise<void> {
    for (const [index, { disk, layerPath }] of overlays.entries()) {
      const top = this.#top(disk);
      // Only the root disk's first one was not looked at, and that still has its path.
      top.bytes ??= await sizeOf(this.#options.rootTop);
      const bytes = nodes[index]?.bytes;
      if (bytes !== top.bytes) {
        throw new SbxError("usage", `${layerPath} has ${bytes} bytes, and the disk ${disk} has ${top.bytes}`);
      }
    }
  }

  /** Opens files and gives them to QEMU: what it may write in both ways, as it is only read once it is frozen. */
  async #give(wanted: readonly { layer: DiskLayer; writable: boolean }[]): Promise<GivenFile[]> {
    const handles: FileHandle[] = [];
    const openOne = async ({ path }: DiskLayer, access: GivenFd["access"]): Promise<FileHandle> => {
      const handle = await openLayer(path, access);
      handles.push(handle);
      return handle;
    };
    try {
      const fds: GivenFd[][] = [];
      const facts: Omit<GivenFile, "set">[] = [];
      for (const { layer, writable } of wanted) {
        const handle = await openOne(layer, "read-only");
        const own: GivenFd[] = [{ fd: handle.fd, access: "read-only" }];
        const bytes = await virtualBytes(handle, layer.format);
        facts.push({ inode: inodeOf(await handle.stat({ bigint: true })), bytes });
        if (writable) own.push({ fd: (await openOne(layer, "read-write")).fd, access: "read-write" });
        fds.push(own);
      }
      const sets = await this.#options.files.give(fds);
      return sets.map((set, index) => ({ set, ...(facts[index] ?? { inode: "", bytes: null }) }));
    } finally {
      await Promise.all(handles.map(async (handle) => handle.close()));
    }
  }

  /** The one that is written to first: it holds those below it. Goes on past what QEMU keeps. */
  async #removeNodes(nodes: readonly Node[]): Promise<void> {
    for (const { name, files } of nodes.toReversed()) {
      await this.#execute("blockdev-del", { "node-name": name }).catch(() => undefined);
      await removeSets(files ?? []);
    }
  }

  async #unplug(serial: string): Promise<void> {
    const { promise: gone, resolve, reject } = Promise.withResolvers<void>();
    gone.catch(() => undefined); // the command itself may fail first
    const forget = this.#options.qmp.onEvent(({ event, data }) => {
      if (event === "DEVICE_DELETED" && data.device === serial) resolve();
    });
    const timer = setTimeout(() => {
      reject(new SbxError("timeout", `QEMU did not let go of the disk ${serial}`));
    }, UNPLUG_DEADLINE_MS);
    try {
      await this.#execute("device_del", { id: serial });
      await gone;
    } finally {
      clearTimeout(timer);
      forget();
    }
  }

  #disk(serial: string): Disk {
    const disk = this.#disks.get(serial);
    if (disk === undefined) throw new SbxError("usage", `there is no disk ${serial}`);
    return disk;
  }

  /** What is written to. */
  #top(serial: string): Node {
    const top = this.#disk(serial).at(-1);
    if (top === undefined) throw new SbxError("internal", `the disk ${serial} has no node`);
    return top;
  }

  async #execute(command: string, args: object): Promise<void> {
    await this.#options.qmp.execute(command, { ...args });
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    await mine;
  }
}

/** The machine that wrote to a disk before may be ending in this moment: its owner's claim is gone, its lock is not. */
async function whenUnlocked(work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + LOCK_DEADLINE_MS;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      const isLocked = error instanceof Error && /Failed to get (?:shared )?"\w+" lock/.test(error.message);
      if (!isLocked || performance.now() > deadline) throw error;
      await sleep(LOCK_INTERVAL_MS);
    }
  }
}

/** QEMU refuses in its own words, which become an SbxError. Anything else says nothing of what it has done. */
function unlessRefused(cause: unknown): never {
  if (cause instanceof SbxError) throw cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new SbxError("supervisor_lost", `nobody knows whether the disks were frozen: ${why}`, { cause });
}

/** @throws SbxError `file_error` for what is not there or is no regular file */
async function openLayer(path: string, access: GivenFd["access"]): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    // Not one that hangs, whatever has come in its place.
    const flags = constants.O_NONBLOCK | constants.O_NOFOLLOW;
    handle = await open(path, flags | (access === "read-write" ? constants.O_RDWR : constants.O_RDONLY));
    if (!(await handle.stat()).isFile()) throw new Error("it is no regular file");
    return handle;
  } catch (cause) {
    await handle?.close();
    throw new SbxError("file_error", `the disk file ${path} cannot be opened`, { cause });
  }
}

async function sizeOf({ path, format }: DiskLayer): Promise<number | null> {
  await using handle = await openLayer(path, "read-only");
  return await virtualBytes(handle, format);
}

function inodeOf({ dev, ino }: { dev: bigint; ino: bigint }): string {
  return `${dev}:${ino}`;
}

async function removeSets(sets: readonly FileSet[]): Promise<void> {
  await Promise.all(sets.map(async (set) => set.remove().catch(() => undefined))); // QEMU is gone, and they with it
}
