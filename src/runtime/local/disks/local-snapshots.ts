/** The snapshots of this machine. */
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type {
  ExportReport,
  ExportTarget,
  ImportSpec,
  SnapshotApi,
  SnapshotInfo,
  SnapshotTree,
  VolumeApi,
} from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import { chainBytes } from "./chain.ts";
import { measureDisks } from "../metering/local-metering.ts";
import { lockDisk, type DiskContext } from "./disk-context.ts";
import { explainDiskError } from "./disk-errors.ts";
import { snapshotInfo, usersOf } from "./disk-info.ts";
import { findNamed, findSnapshot } from "./find-disk.ts";
import { collectGarbage } from "./garbage.ts";
import { settleRootSwitch, snapshotRoot } from "./root-switch.ts";

/** As many of those in the way are named; the rest is counted. */
const NAMED_USERS = 8;

export interface LocalSnapshotsOptions {
  context: DiskContext;
  volumes: Pick<VolumeApi, "snapshot">;
  /** @throws SbxError for one that does not run */
  findRunning: (ref: string) => SandboxRow;
}

export class LocalSnapshots implements SnapshotApi {
  readonly #context: DiskContext;
  readonly #options: LocalSnapshotsOptions;

  constructor(options: LocalSnapshotsOptions) {
    this.#context = options.context;
    this.#options = options;
  }

  async create(slug: string, from: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    throwIfAborted(options.signal, "taking the snapshot");
    const { state } = this.#context;
    const sandbox = this.#findSandbox(from);
    const volume = findNamed(state.disks.volumes.listReady(), from);
    // A whole name means what has it, whatever else begins like that.
    const isVolume = volume !== undefined && [volume.slug, volume.id].includes(from);
    const isSandbox = sandbox !== undefined && [sandbox.name, sandbox.id].includes(from);
    if (sandbox === undefined && volume === undefined && findNamed(this.#ready, from) === undefined) {
      throw new SbxError(
        "volume_not_found",
        `there is neither a volume nor a running sandbox ${JSON.stringify(from)}`,
        {
          hint: "sbx volume list, or sbx list",
        },
      );
    }
    if (sandbox === undefined || (isVolume && !isSandbox)) {
      return this.#options.volumes.snapshot(volume?.id ?? from, slug, options);
    }
    if (volume !== undefined && isVolume === isSandbox) {
      throw new SbxError("usage", `${JSON.stringify(from)} is both a volume and a sandbox`, {
        hint: `give an id: ${volume.id} is the volume, ${sandbox.id} the sandbox`,
      });
    }
    // The root disk of a sandbox may be a volume.
    const root = state.disks.claims.list().find(({ holder, path }) => holder === sandbox.id && path === "/");
    if (root !== undefined) return this.#options.volumes.snapshot(root.volumeId, slug, options);
    await using _lock = await lockDisk(state, sandbox.id, options.signal);
    const disk = state.disks.claims.diskOf(sandbox.id);
    if (disk?.next != null) await settleRootSwitch(state, disk);
    try {
      return await snapshotInfo(this.#context, await snapshotRoot(state, sandbox, slug));
    } catch (error) {
      throw explainDiskError(error, state.layerFiles.directory);
    }
  }

  async list(options: CallOptions & { search?: string } = {}): Promise<SnapshotInfo[]> {
    throwIfAborted(options.signal, "listing the snapshots");
    const { search = "" } = options;
    const rows = this.#ready.filter(({ id, slug }) => slug.includes(search) || id.startsWith(search));
    const infos: SnapshotInfo[] = [];
    for (const row of rows) infos.push(await snapshotInfo(this.#context, row));
    return infos;
  }

  async get(ref: string, options: CallOptions & { verify?: boolean } = {}): Promise<SnapshotInfo> {
    throwIfAborted(options.signal, "looking for the snapshot");
    return snapshotInfo(this.#context, findSnapshot(this.#context.state.disks, ref), options);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    throwIfAborted(options.signal, "removing the snapshot");
    const { state } = this.#context;
    const row = findSnapshot(state.disks, ref);
    const info = await snapshotInfo(this.#context, row);
    measureDisks(state);
    state.disks.change(
      () => {
        const users = usersOf(this.#context, row);
        if (users.length > 0) throw snapshotInUse(row, users);
        state.disks.volumes.forgetBase(row.id);
        state.disks.snapshots.forget(row.id);
      },
      { frees: true },
    );
    await this.#discardTemplates();
    await collectGarbage(state);
    return { ...info, usedBy: [] };
  }

  /** Those of snapshots that are gone: each takes some hundred megabytes. */
  async #discardTemplates(): Promise<void> {
    const { paths, disks, store } = this.#context.state;
    const { discardTemplate, orphanedTemplates } = await import("../templates.ts");
    const used = new Set(store.listLive().map(({ spec }) => spec.templateKey));
    const orphans = await orphanedTemplates(paths, used, (id) => disks.snapshots.get(id) !== undefined);
    for (const { key } of orphans) await discardTemplate(paths, key);
  }

  async tree(options: CallOptions = {}): Promise<SnapshotTree[]> {
    throwIfAborted(options.signal, "listing the snapshots");
    const rows = this.#ready;
    const known = new Set(rows.map(({ id }) => id));
    const roots = rows.filter(({ parentId }) => parentId === null || !known.has(parentId));
    const trees: SnapshotTree[] = [];
    for (const row of roots) trees.push(await this.#branch(row, rows));
    return trees;
  }

  async export(ref: string, target: ExportTarget, options: CallOptions = {}): Promise<ExportReport> {
    const row = findSnapshot(this.#context.state.disks, ref);
    const { exportSnapshot } = await import("./export-disk.ts");
    return exportSnapshot(this.#context, row, target, options);
  }

  async import(source: AsyncIterable<Uint8Array>, spec: ImportSpec, options: CallOptions = {}): Promise<SnapshotInfo> {
    const { importSnapshot } = await import("./import-disk.ts");
    return this.get(await importSnapshot(this.#context, source, spec, options));
  }

  get #ready(): SnapshotRow[] {
    return this.#context.state.disks.snapshots.listReady();
  }

  /** Undefined for what is no sandbox; one that does not run any more has no disk either. */
  #findSandbox(ref: string): SandboxRow | undefined {
    try {
      return this.#options.findRunning(ref);
    } catch (error) {
      const isVolume = findNamed(this.#context.state.disks.volumes.listReady(), ref) !== undefined;
      const isNone = error instanceof SbxError && error.code === "sandbox_not_found";
      if (isVolume || isNone) return undefined;
      throw error;
    }
  }

  async #branch(row: SnapshotRow, rows: readonly SnapshotRow[]): Promise<SnapshotTree> {
    const { id, slug, createdAt, sizeBytes, layer } = row;
    const { disks, store } = this.#context.state;
    const { allocatedBytes } = await chainBytes(this.#context, layer);
    const snapshots: SnapshotTree[] = [];
    // A record that names itself as its own ancestor would be damage: each row is visited once on the way down.
    const others = rows.filter((other) => other.id !== id);
    for (const child of others.filter(({ parentId }) => parentId === id)) {
      snapshots.push(await this.#branch(child, others));
    }
    const volumes = disks.volumes.listReady().filter(({ base }) => base?.id === id);
    const sandboxes = disks.claims.listDisks().filter(({ snapshotId }) => snapshotId === id);
    return {
      ...{ id, slug, createdAt, sizeBytes, allocatedBytes, snapshots },
      volumes: volumes.map((volume) => ({ id: volume.id, slug: volume.slug })),
      sandboxes: sandboxes.map(({ sandboxId }) => ({ id: sandboxId, name: store.get(sandboxId)?.name ?? null })),
    };
  }
}

function snapshotInUse({ slug }: SnapshotRow, users: ReturnType<typeof usersOf>): SbxError {
  const names = users.slice(0, NAMED_USERS).map(({ kind, name }) => `${kind} ${name}`);
  const more = users.length > names.length ? `, and ${users.length - names.length} more` : "";
  const [first] = users;
  const hint =
    first?.kind === "sandbox"
      ? `sbx kill ${first.name}`
      : `sbx ${first?.kind ?? "snapshot"} remove ${first?.name ?? slug}`;
  return new SbxError("snapshot_in_use", `snapshot ${slug} is what ${names.join(", ")}${more} was made from`, { hint });
}
