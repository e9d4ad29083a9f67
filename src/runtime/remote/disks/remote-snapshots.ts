/** The snapshots of an organisation, through a control plane of sbx's own. */
import type { ExportReport, ExportTarget, ImportSpec, SnapshotApi, SnapshotInfo, SnapshotTree } from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import type { ControlClient } from "../control-client.ts";
import { PublishedDisks } from "./published-disks.ts";
import { writeExport } from "./remote-export.ts";
import { sendImport } from "./remote-import.ts";
import { given } from "./remote-volumes.ts";

export class RemoteSnapshots implements SnapshotApi {
  readonly #client: ControlClient;
  readonly #published: PublishedDisks;

  constructor(client: ControlClient) {
    this.#client = client;
    this.#published = new PublishedDisks(client);
  }

  async create(slug: string, from: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.takeSnapshot(from, slug, options);
    return this.#client.call("snapshot.create", { slug, from }, options);
  }

  async list({ search, ...call }: CallOptions & { search?: string } = {}): Promise<SnapshotInfo[]> {
    if (await this.#isPublishedOnly(call)) return this.#published.snapshots(search, call);
    return this.#client.call("snapshot.list", given({ search }), call);
  }

  async get(ref: string, { verify, ...call }: CallOptions & { verify?: boolean } = {}): Promise<SnapshotInfo> {
    if (verify !== true && (await this.#isPublishedOnly(call))) return this.#published.snapshot(ref, call);
    return this.#client.call("snapshot.get", { ref, ...given({ verify }) }, call);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.removeSnapshot(ref, options);
    return this.#client.call("snapshot.remove", { ref }, options);
  }

  async tree(options: CallOptions = {}): Promise<SnapshotTree[]> {
    const roots: SnapshotTree[] = [];
    const known = new Map<string, SnapshotTree>();
    for (const { parent, ...row } of await this.#client.call("snapshot.tree", {}, options)) {
      const above = parent === null ? roots : known.get(parent)?.snapshots;
      if (above === undefined || known.has(row.id)) {
        throw new SbxError("server_failed", "the server's tree of snapshots makes no sense", {
          hint: "sbx snapshot list",
        });
      }
      const tree = { ...row, snapshots: [] };
      known.set(row.id, tree);
      above.push(tree);
    }
    return roots;
  }

  async export(ref: string, target: ExportTarget, options: CallOptions = {}): Promise<ExportReport> {
    return writeExport(this.#client.items("snapshot.export", { ref }, options), target, options);
  }

  async import(source: AsyncIterable<Uint8Array>, spec: ImportSpec, options: CallOptions = {}): Promise<SnapshotInfo> {
    const { value, url } = await sendImport(this.#client, "snapshot", source, { ...options, ...spec });
    return this.#client.parse("snapshot.get", value, url);
  }

  async #isPublishedOnly(options: CallOptions): Promise<boolean> {
    return (await this.#client.about(options)) === undefined;
  }
}
