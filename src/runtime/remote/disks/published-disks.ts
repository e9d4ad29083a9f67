/** Volumes and snapshots over the published API alone (deno-sandbox-protocol, 1.6): what it tells, and what it can do. */
import * as z from "zod/mini";
import type { SnapshotInfo, VolumeInfo, VolumeSpec } from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import { parseValue, type ControlClient } from "../control-client.ts";
import { readPages } from "../published-pages.ts";
import { unsupported } from "../unsupported.ts";

const VOLUMES = "/api/v2/volumes";
const SNAPSHOTS = "/api/v2/snapshots";
/** Where a volume is made if nobody says otherwise. */
const REGION = "ord";

const idAndSlug = () => z.object({ id: z.string(), slug: z.string() });

const volume = () =>
  z.object({
    ...{ id: z.string(), slug: z.string(), region: z.string(), capacity: z.number(), is_bootable: z.boolean() },
    ...{ estimated_allocated_size: z.number(), estimated_flattened_size: z.number() },
    base_snapshot: z.nullable(idAndSlug()),
  });

const snapshot = () =>
  z.object({
    ...{ id: z.string(), slug: z.string(), region: z.string(), is_bootable: z.boolean(), volume: idAndSlug() },
    ...{ allocated_size: z.number(), flattened_size: z.number() },
  });

export class PublishedDisks {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async volumes(search: string | undefined, { signal }: CallOptions): Promise<VolumeInfo[]> {
    return (await readPages(this.#client, this.#at(VOLUMES, search), z.array(volume()), signal)).map(toVolume);
  }

  async volume(ref: string, { signal }: CallOptions): Promise<VolumeInfo> {
    const url = this.#at(`${VOLUMES}/${encodeURIComponent(ref)}`);
    const { value } = await this.#client.published({ method: "GET", url, signal });
    return toVolume(parseValue(volume(), value, url));
  }

  async createVolume({ slug, capacityBytes, from }: VolumeSpec, { signal }: CallOptions): Promise<VolumeInfo> {
    if (capacityBytes === undefined) {
      throw new SbxError("usage", "a volume needs a capacity on this server", { hint: "--capacity 10GB" });
    }
    const url = this.#at(VOLUMES);
    const body = { slug, region: REGION, capacity: capacityBytes, ...(from === undefined ? {} : { from }) };
    const { value } = await this.#client.published({ method: "POST", url, body, signal });
    return toVolume(parseValue(volume(), value, url));
  }

  async removeVolume(ref: string, options: CallOptions): Promise<VolumeInfo> {
    const found = await this.volume(ref, options);
    const url = this.#at(`${VOLUMES}/${encodeURIComponent(found.id)}`);
    await this.#client.published({ method: "DELETE", url, signal: options.signal });
    return { ...found, removedAt: Date.now() };
  }

  async takeSnapshot(ref: string, slug: string, { signal }: CallOptions): Promise<SnapshotInfo> {
    const url = this.#at(`${VOLUMES}/${encodeURIComponent(ref)}/snapshot`);
    const { value } = await this.#client.published({ method: "POST", url, body: { slug }, signal });
    return toSnapshot(parseValue(snapshot(), value, url));
  }

  async snapshots(search: string | undefined, { signal }: CallOptions): Promise<SnapshotInfo[]> {
    return (await readPages(this.#client, this.#at(SNAPSHOTS, search), z.array(snapshot()), signal)).map(toSnapshot);
  }

  async snapshot(ref: string, { signal }: CallOptions): Promise<SnapshotInfo> {
    const url = this.#at(`${SNAPSHOTS}/${encodeURIComponent(ref)}`);
    const { value } = await this.#client.published({ method: "GET", url, signal });
    return toSnapshot(parseValue(snapshot(), value, url));
  }

  async removeSnapshot(ref: string, options: CallOptions): Promise<SnapshotInfo> {
    const found = await this.snapshot(ref, options);
    const url = this.#at(`${SNAPSHOTS}/${encodeURIComponent(found.id)}`);
    await this.#client.published({ method: "DELETE", url, signal: options.signal });
    return found;
  }

  /** What the published API has no words for. */
  refuse(what: string, hint: string): never {
    throw unsupported(`${this.#client.endpoints.name} has only the published API, which has no ${what}`, hint);
  }

  #at(path: string, search?: string): URL {
    const url = this.#client.endpoints.api(path);
    if (search !== undefined && search !== "") url.searchParams.set("search", search);
    return url;
  }
}

/** What it does not tell is nothing. */
function toVolume(value: z.output<ReturnType<typeof volume>>): VolumeInfo {
  const { id, slug, region, capacity, is_bootable: isBootable, base_snapshot: baseSnapshot } = value;
  return {
    ...{ id, slug, region, isBootable, baseSnapshot, createdAt: 0, capacityBytes: capacity },
    estimatedAllocatedBytes: value.estimated_allocated_size,
    estimatedFlattenedBytes: value.estimated_flattened_size,
    ...{ imageId: null, holders: [], removedAt: null, restorableUntil: null, faults: [] },
  };
}

function toSnapshot(value: z.output<ReturnType<typeof snapshot>>): SnapshotInfo {
  const { id, slug, region, is_bootable: isBootable, volume: source } = value;
  return {
    ...{ id, slug, region, isBootable, createdAt: 0, sizeBytes: value.flattened_size },
    ...{ allocatedBytes: value.allocated_size, flattenedBytes: value.flattened_size, imageId: null },
    source: { kind: "volume", id: source.id, name: source.slug },
    ...{ parent: null, isClean: true, usedBy: [], faults: [] },
  };
}
