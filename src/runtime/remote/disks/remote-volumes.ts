/** The volumes of an organisation, through a control plane of sbx's own. */
import type {
  DiskAccess,
  ExportReport,
  ExportTarget,
  ImportSpec,
  SnapshotInfo,
  VolumeApi,
  VolumeInfo,
} from "../../disks.ts";
import type { VolumeSpec } from "../../disks.ts";
import type { CallOptions } from "../../types.ts";
import type { ControlClient } from "../control-client.ts";
import { PublishedDisks } from "./published-disks.ts";
import { writeExport } from "./remote-export.ts";
import { sendImport } from "./remote-import.ts";

export class RemoteVolumes implements VolumeApi {
  readonly #client: ControlClient;
  readonly #published: PublishedDisks;

  constructor(client: ControlClient) {
    this.#client = client;
    this.#published = new PublishedDisks(client);
  }

  async create(spec: VolumeSpec, options: CallOptions = {}): Promise<VolumeInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.createVolume(spec, options);
    return this.#client.call("volume.create", { ...spec }, options);
  }

  async list({ search, removed, ...call }: ListOptions = {}): Promise<VolumeInfo[]> {
    if (await this.#isPublishedOnly(call)) {
      if (removed === true) return this.#published.refuse("removed volumes", "sbx volume list");
      return this.#published.volumes(search, call);
    }
    return this.#client.call("volume.list", given({ search, removed }), call);
  }

  async get(ref: string, { verify, ...call }: CallOptions & { verify?: boolean } = {}): Promise<VolumeInfo> {
    if (verify !== true && (await this.#isPublishedOnly(call))) return this.#published.volume(ref, call);
    return this.#client.call("volume.get", { ref, ...given({ verify }) }, call);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<VolumeInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.removeVolume(ref, options);
    return this.#client.call("volume.remove", { ref }, options);
  }

  async restore(ref: string, { slug, ...call }: CallOptions & { slug?: string } = {}): Promise<VolumeInfo> {
    return this.#client.call("volume.restore", { ref, ...given({ slug }) }, call);
  }

  async resize(ref: string, capacityBytes: number, options: CallOptions = {}): Promise<VolumeInfo> {
    return this.#client.call("volume.resize", { ref, capacityBytes }, options);
  }

  async snapshot(ref: string, slug: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.takeSnapshot(ref, slug, options);
    return this.#client.call("volume.snapshot", { ref, slug }, options);
  }

  async export(ref: string, target: ExportTarget, options: CallOptions = {}): Promise<ExportReport> {
    return writeExport(this.#client.items("volume.export", { ref }, options), target, options);
  }

  async import(source: AsyncIterable<Uint8Array>, spec: ImportSpec, options: CallOptions = {}): Promise<VolumeInfo> {
    const { value, url } = await sendImport(this.#client, "volume", source, { ...options, ...spec });
    return this.#client.parse("volume.get", value, url);
  }

  async attach(
    ref: string,
    sandbox: string,
    mount: { path: string; access: DiskAccess },
    options: CallOptions = {},
  ): Promise<VolumeInfo> {
    return this.#client.call("volume.attach", { ref, sandbox, ...mount }, options);
  }

  async detach(ref: string, sandbox: string, options: CallOptions = {}): Promise<VolumeInfo> {
    return this.#client.call("volume.detach", { ref, sandbox }, options);
  }

  async #isPublishedOnly(options: CallOptions): Promise<boolean> {
    return (await this.#client.about(options)) === undefined;
  }
}

type ListOptions = CallOptions & { search?: string; removed?: boolean };

/** Without what nobody gave: as JSON that is the same, to a type it is not. */
export function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
