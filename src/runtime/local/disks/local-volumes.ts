/** The volumes of this machine. */
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { volumeInUse, type ClaimRow } from "../../../store/disks/claim-store.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type {
  DiskAccess,
  ExportReport,
  ExportTarget,
  ImportSpec,
  SnapshotInfo,
  VolumeApi,
  VolumeInfo,
  VolumeSpec,
} from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import { openChain } from "./chain.ts";
import { measureDisks } from "../metering/local-metering.ts";
import { lockDisk, type DiskContext } from "./disk-context.ts";
import { explainDiskError } from "./disk-errors.ts";
import { snapshotInfo, volumeInfo } from "./disk-info.ts";
import { findRemovedVolume, findVolume } from "./find-disk.ts";
import { makeVolume } from "./make-volume.ts";
import { attachmentOf } from "./sandbox-disks.ts";
import { settleVolume } from "./settle.ts";
import { attachDisk, detachDisk, isUndecided } from "./supervisor-disks.ts";
import { MAX_VOLUME_BYTES } from "./volume-file-system.ts";
import { growVolume } from "./volume-growth.ts";
import { snapshotVolume } from "./volume-switch.ts";

export interface LocalVolumesOptions {
  context: DiskContext;
  /** Size of a bootable volume where nobody says one, `bytes`. */
  defaultBytes: number;
  /** @throws SbxError for one that does not run */
  findRunning: (ref: string) => SandboxRow;
}

export class LocalVolumes implements VolumeApi {
  readonly #context: DiskContext;
  readonly #options: LocalVolumesOptions;

  constructor(options: LocalVolumesOptions) {
    this.#context = options.context;
    this.#options = options;
  }

  async create(spec: VolumeSpec, options: CallOptions = {}): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "making the volume");
    const row = await makeVolume(this.#context, spec, { ...options, defaultBytes: this.#options.defaultBytes });
    return volumeInfo(this.#context, row);
  }

  async list(options: CallOptions & { search?: string; removed?: boolean } = {}): Promise<VolumeInfo[]> {
    throwIfAborted(options.signal, "listing the volumes");
    const { search = "", removed = false } = options;
    const { volumes } = this.#disks;
    const rows = removed ? volumes.list().filter(({ removedAt }) => removedAt !== null) : volumes.listReady();
    const fitting = rows.filter(({ id, slug }) => slug.includes(search) || id.startsWith(search));
    const infos: VolumeInfo[] = [];
    for (const row of fitting) infos.push(await volumeInfo(this.#context, row));
    return infos;
  }

  async get(ref: string, options: CallOptions & { verify?: boolean } = {}): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "looking for the volume");
    return volumeInfo(this.#context, findVolume(this.#disks, ref), options);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "removing the volume");
    const { id } = findVolume(this.#disks, ref);
    await using _lock = await this.#lock(id, options);
    const row = findVolume(this.#disks, id);
    measureDisks(this.#context.state);
    this.#disks.change(
      () => {
        const [holder] = this.#disks.claims.of(id);
        if (holder !== undefined) throw volumeInUse(row, holder);
        this.#disks.volumes.markRemoved(id, Date.now());
      },
      { frees: true },
    );
    return await this.#info(id);
  }

  async restore(ref: string, options: CallOptions & { slug?: string } = {}): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "restoring the volume");
    const row = findRemovedVolume(this.#disks, ref);
    const slug = options.slug ?? row.slug;
    this.#disks.change(() => {
      // Once more: it may have been forgotten, or restored, in this moment.
      findRemovedVolume(this.#disks, row.id);
      this.#checkRestoredName(row, slug);
      this.#disks.volumes.restore(row.id, slug);
    });
    return this.#info(row.id);
  }

  async resize(ref: string, capacityBytes: number, options: CallOptions = {}): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "growing the volume");
    const { id } = findVolume(this.#disks, ref);
    await using _lock = await this.#lock(id, options);
    const row = await settleVolume(this.#context.state, findVolume(this.#disks, id));
    if (capacityBytes < row.capacityBytes) {
      throw new SbxError("usage", `volume ${row.slug} has ${row.capacityBytes} bytes, and cannot be made smaller`, {
        hint: "make a smaller one, and copy what is in it",
      });
    }
    if (capacityBytes > MAX_VOLUME_BYTES) {
      throw new SbxError("usage", `${capacityBytes} bytes are too many: a volume has at most ${MAX_VOLUME_BYTES}`);
    }
    await openChain(this.#context, row.head, { kind: "volume", slug: row.slug });
    if (capacityBytes > row.capacityBytes) {
      await this.#explained(growVolume(this.#context.state, row, capacityBytes));
    }
    return await this.#info(id);
  }

  async snapshot(ref: string, slug: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    throwIfAborted(options.signal, "taking the snapshot");
    const { id } = findVolume(this.#disks, ref);
    await using _lock = await this.#lock(id, options);
    const row = await settleVolume(this.#context.state, findVolume(this.#disks, id));
    await openChain(this.#context, row.head, { kind: "volume", slug: row.slug });
    const snapshot = await this.#explained(snapshotVolume(this.#context.state, row, slug));
    return await snapshotInfo(this.#context, snapshot);
  }

  async export(ref: string, target: ExportTarget, options: CallOptions = {}): Promise<ExportReport> {
    const row = findVolume(this.#disks, ref);
    const { exportVolume } = await import("./export-disk.ts");
    return this.#explained(exportVolume(this.#context, row, target, options));
  }

  async import(source: AsyncIterable<Uint8Array>, spec: ImportSpec, options: CallOptions = {}): Promise<VolumeInfo> {
    const { importVolume } = await import("./import-disk.ts");
    const id = await this.#explained(importVolume(this.#context, source, spec, options));
    return this.#info(id);
  }

  async attach(
    ref: string,
    sandbox: string,
    mount: { path: string; access: DiskAccess },
    options: CallOptions = {},
  ): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "attaching the volume");
    const { id } = findVolume(this.#disks, ref);
    const box = this.#options.findRunning(sandbox);
    await using _lock = await this.#lock(id, options);
    const row = await settleVolume(this.#context.state, findVolume(this.#disks, id));
    await openChain(this.#context, row.head, { kind: "volume", slug: row.slug });
    this.#disks.change(() => this.#disks.claims.claim(row, box.id, mount.access, mount.path));
    try {
      await attachDisk({ socketPath: box.socket }, await attachmentOf(this.#context, row, mount));
    } catch (error) {
      // Whether it has it is not known: the claim stays until it is detached, or the sandbox is gone.
      if (!isUndecided(error) || (await this.#isDetached(row, box))) this.#release(id, box.id);
      throw error;
    }
    return await this.#info(id);
  }

  async detach(ref: string, sandbox: string, options: CallOptions = {}): Promise<VolumeInfo> {
    throwIfAborted(options.signal, "detaching the volume");
    const { id } = findVolume(this.#disks, ref);
    const box = this.#options.findRunning(sandbox);
    await using _lock = await this.#lock(id, options);
    const row = await settleVolume(this.#context.state, findVolume(this.#disks, id));
    const claim = this.#disks.claims.of(id).find(({ holder }) => holder === box.id);
    if (claim === undefined) throw notAttached(row, box, this.#disks.claims.of(id));
    if (claim.path === "/") {
      const title = box.name ?? box.id;
      throw new SbxError("volume_in_use", `sandbox ${title} runs from volume ${row.slug}`, {
        hint: `sbx kill ${title}`,
      });
    }
    try {
      await detachDisk({ socketPath: box.socket }, id);
    } catch (error) {
      if (!isUnknownVolume(error)) throw error;
      // A command that was to attach it was killed: there is nothing but the claim.
    }
    this.#release(id, box.id);
    return await this.#info(id);
  }

  get #disks(): DiskContext["state"]["disks"] {
    return this.#context.state.disks;
  }

  async #lock(id: string, { signal }: CallOptions): Promise<AsyncDisposable> {
    return lockDisk(this.#context.state, id, signal);
  }

  #release(volumeId: string, sandboxId: string): void {
    this.#disks.change(() => this.#disks.claims.releaseVolume(volumeId, sandboxId));
  }

  async #info(id: string): Promise<VolumeInfo> {
    const row = this.#disks.volumes.get(id);
    if (row === undefined) throw new SbxError("volume_not_found", `volume ${id} was removed meanwhile`);
    return volumeInfo(this.#context, row);
  }

  #checkRestoredName(row: VolumeRow, slug: string): void {
    try {
      this.#disks.checkName(slug);
    } catch (error) {
      if (!(error instanceof SbxError) || error.code !== "name_in_use") throw error;
      throw new SbxError("name_in_use", `the name ${slug} was given to something else since`, {
        cause: error,
        hint: `sbx volume restore ${row.id} --name ANOTHER`,
      });
    }
  }

  async #isDetached(row: VolumeRow, box: SandboxRow): Promise<boolean> {
    return detachDisk({ socketPath: box.socket }, row.id).then(() => true, isUnknownVolume);
  }

  async #explained<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw explainDiskError(error, this.#context.state.layerFiles.directory);
    }
  }
}

function isUnknownVolume(error: unknown): boolean {
  return error instanceof SbxError && error.code === "volume_not_found";
}

function notAttached({ slug }: VolumeRow, box: SandboxRow, holders: readonly ClaimRow[]): SbxError {
  const [holder] = holders;
  const where = holder === undefined ? "nobody has it" : `${holder.holderName} has it`;
  return new SbxError("usage", `volume ${slug} is not attached to ${box.name ?? box.id}: ${where}`, {
    hint: `sbx volume inspect ${slug}`,
  });
}
