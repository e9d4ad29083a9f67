/** Volumes and snapshots of the Runtime in memory, for tests of the command line. */
import { SbxError } from "../src/runtime/errors.ts";
import type {
  DiskAccess,
  ExportReport,
  ExportTarget,
  ImportSpec,
  SnapshotApi,
  SnapshotInfo,
  SnapshotTree,
  VolumeApi,
  VolumeInfo,
  VolumeSpec,
} from "../src/runtime/disks.ts";

export function volumeInfo(overrides: Partial<VolumeInfo> = {}): VolumeInfo {
  return {
    id: "vol_loc_0123456789abcdefghjk",
    slug: "data",
    region: "loc",
    createdAt: 1_700_000_000_000,
    capacityBytes: 10_000_000_000,
    estimatedAllocatedBytes: 8_797_184,
    estimatedFlattenedBytes: 8_797_184,
    isBootable: false,
    baseSnapshot: null,
    imageId: null,
    holders: [],
    removedAt: null,
    restorableUntil: null,
    faults: [],
    ...overrides,
  };
}

export function snapshotInfo(overrides: Partial<SnapshotInfo> = {}): SnapshotInfo {
  return {
    id: "snp_loc_0123456789abcdefghjk",
    slug: "tools",
    region: "loc",
    createdAt: 1_700_000_000_000,
    sizeBytes: 10_000_000_000,
    allocatedBytes: 300_000_000,
    flattenedBytes: 1_500_000_000,
    isBootable: true,
    imageId: "a".repeat(64),
    source: { kind: "sandbox", id: "sbx_loc_0123456789abcdefghjk", name: "box" },
    parent: null,
    isClean: true,
    usedBy: [],
    faults: [],
    ...overrides,
  };
}

const REPORT: ExportReport = { contentBytes: 8_797_184, fileBytes: 70_000, sha256: "b".repeat(64) };

export class FakeVolumes implements VolumeApi {
  volumes: VolumeInfo[] = [];
  /** Calls with what they were given. */
  calls: unknown[][] = [];

  async create(spec: VolumeSpec): Promise<VolumeInfo> {
    this.calls.push(["create", spec]);
    if (this.volumes.some(({ slug }) => slug === spec.slug)) {
      throw new SbxError("name_in_use", `there is a volume ${spec.slug} already`, { hint: "choose another name" });
    }
    const volume = volumeInfo({ slug: spec.slug, capacityBytes: spec.capacityBytes ?? 10_000_000_000 });
    this.volumes.push(volume);
    return volume;
  }

  async list(options: { search?: string; removed?: boolean } = {}): Promise<VolumeInfo[]> {
    const { search = "", removed = false } = options;
    return this.volumes.filter(({ slug, removedAt }) => slug.includes(search) && (removedAt !== null) === removed);
  }

  async get(ref: string, options: { verify?: boolean } = {}): Promise<VolumeInfo> {
    this.calls.push(["get", ref, options.verify ?? false]);
    return this.#find(ref);
  }

  async remove(ref: string): Promise<VolumeInfo> {
    const volume = this.#find(ref);
    return this.#change(volume, { removedAt: 1_700_000_100_000, restorableUntil: 1_700_086_500_000 });
  }

  async restore(ref: string, options: { slug?: string } = {}): Promise<VolumeInfo> {
    const volume = this.volumes.find(({ slug, id, removedAt }) => removedAt !== null && [slug, id].includes(ref));
    if (volume === undefined) throw notFound("volume_not_found", "removed volume", ref);
    return this.#change(volume, { removedAt: null, restorableUntil: null, slug: options.slug ?? volume.slug });
  }

  async resize(ref: string, capacityBytes: number): Promise<VolumeInfo> {
    return this.#change(this.#find(ref), { capacityBytes });
  }

  async snapshot(ref: string, slug: string): Promise<SnapshotInfo> {
    const { id, slug: name } = this.#find(ref);
    this.calls.push(["snapshot", ref, slug]);
    return snapshotInfo({ slug, source: { kind: "volume", id, name } });
  }

  async export(ref: string, target: ExportTarget): Promise<ExportReport> {
    this.#find(ref);
    this.calls.push(["export", ref, target]);
    return REPORT;
  }

  async import(source: AsyncIterable<Uint8Array>, spec: ImportSpec): Promise<VolumeInfo> {
    const bytes: Uint8Array[] = [];
    for await (const chunk of source) bytes.push(chunk);
    this.calls.push(["import", Buffer.concat(bytes).toString(), spec]);
    return volumeInfo({ slug: spec.slug ?? "imported" });
  }

  async attach(ref: string, sandbox: string, mount: { path: string; access: DiskAccess }): Promise<VolumeInfo> {
    this.calls.push(["attach", ref, sandbox, mount]);
    return this.#change(this.#find(ref), { holders: [{ id: sandbox, name: sandbox, ...mount }] });
  }

  async detach(ref: string, sandbox: string): Promise<VolumeInfo> {
    this.calls.push(["detach", ref, sandbox]);
    return this.#change(this.#find(ref), { holders: [] });
  }

  #find(ref: string): VolumeInfo {
    const volume = this.volumes.find(({ slug, id, removedAt }) => removedAt === null && [slug, id].includes(ref));
    if (volume === undefined) throw notFound("volume_not_found", "volume", ref);
    return volume;
  }

  #change(volume: VolumeInfo, change: Partial<VolumeInfo>): VolumeInfo {
    const changed = { ...volume, ...change };
    this.volumes = this.volumes.map((other) => (other === volume ? changed : other));
    return changed;
  }
}

export class FakeSnapshots implements SnapshotApi {
  snapshots: SnapshotInfo[] = [];
  trees: SnapshotTree[] = [];
  calls: unknown[][] = [];

  async create(slug: string, from: string): Promise<SnapshotInfo> {
    this.calls.push(["create", slug, from]);
    const snapshot = snapshotInfo({ slug });
    this.snapshots.push(snapshot);
    return snapshot;
  }

  async list(options: { search?: string } = {}): Promise<SnapshotInfo[]> {
    return this.snapshots.filter(({ slug }) => slug.includes(options.search ?? ""));
  }

  async get(ref: string, options: { verify?: boolean } = {}): Promise<SnapshotInfo> {
    this.calls.push(["get", ref, options.verify ?? false]);
    const snapshot = this.snapshots.find(({ slug, id }) => [slug, id].includes(ref));
    if (snapshot === undefined) throw notFound("snapshot_not_found", "snapshot", ref);
    return snapshot;
  }

  async remove(ref: string): Promise<SnapshotInfo> {
    const snapshot = await this.get(ref);
    const [user] = snapshot.usedBy;
    if (user !== undefined) {
      const message = `snapshot ${snapshot.slug} is what ${user.kind} ${user.name} was made from`;
      throw new SbxError("snapshot_in_use", message, { hint: `sbx ${user.kind} remove ${user.name}` });
    }
    this.snapshots = this.snapshots.filter((other) => other !== snapshot);
    return snapshot;
  }

  async tree(): Promise<SnapshotTree[]> {
    return this.trees;
  }

  async export(ref: string, target: ExportTarget): Promise<ExportReport> {
    this.calls.push(["export", ref, target]);
    return REPORT;
  }

  async import(source: AsyncIterable<Uint8Array>, spec: ImportSpec): Promise<SnapshotInfo> {
    const bytes: Uint8Array[] = [];
    for await (const chunk of source) bytes.push(chunk);
    this.calls.push(["import", Buffer.concat(bytes).toString(), spec]);
    return snapshotInfo({ slug: spec.slug ?? "imported" });
  }
}

function notFound(code: "volume_not_found" | "snapshot_not_found", what: string, ref: string): SbxError {
  const hint = code === "volume_not_found" ? "sbx volume list" : "sbx snapshot list";
  return new SbxError(code, `there is no ${what} ${JSON.stringify(ref)}`, { hint });
}
