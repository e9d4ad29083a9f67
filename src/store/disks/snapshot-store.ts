/** Snapshots: disks with a name that never change. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { ownIdentity, type ProcessIdentity } from "../../host/process-identity.ts";
import { insertion, isAbandoned, makerColumns, makerOf, parseRow, type SqlRow } from "./disk-rows.ts";

export type SnapshotSourceKind = "volume" | "sandbox" | "file";

export interface SnapshotRow {
  id: string;
  slug: string;
  createdAt: number;
  state: "making" | "ready";
  maker: ProcessIdentity | null;
  layer: string;
  sizeBytes: number;
  imageId: string | null;
  /** What it was taken from, as it was called then. */
  source: { kind: SnapshotSourceKind; id: string; name: string | null };
  /** Snapshot that its source was made from. */
  parentId: string | null;
  /** Whether its file system stood still while it was taken. */
  isClean: boolean;
}

export type NewSnapshot = Pick<
  SnapshotRow,
  "id" | "slug" | "layer" | "sizeBytes" | "imageId" | "source" | "parentId" | "isClean"
>;

export class SnapshotStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Records a snapshot that this process is about to take. The caller has checked that the name is free. */
  begin(snapshot: NewSnapshot, now: number): void {
    const maker = ownIdentity();
    const { source } = snapshot;
    const [statement, values] = insertion("snapshots", {
      ...{ id: snapshot.id, slug: snapshot.slug, created_at: now, state: "making" },
      ...{ maker_pid: maker.pid, maker_start: maker.startTicks, layer: snapshot.layer, size: snapshot.sizeBytes },
      ...{ image_id: snapshot.imageId, parent_id: snapshot.parentId, is_clean: snapshot.isClean ? 1 : 0 },
      ...{ source_kind: source.kind, source_id: source.id, source_name: source.name },
    });
    this.#database.prepare(statement).run(...values);
  }

  ready(id: string, isClean?: boolean): void {
    const statement = `UPDATE snapshots SET state = 'ready', maker_pid = NULL, maker_start = NULL,
      is_clean = coalesce(?, is_clean) WHERE id = ?`;
    this.#database.prepare(statement).run(isClean === undefined ? null : Number(isClean), id);
  }

  /** Those that were begun when this layer was to be sealed. */
  makingOf(layer: string): SnapshotRow[] {
    const statement = "SELECT * FROM snapshots WHERE state = 'making' AND layer = ?";
    return this.#database.prepare(statement).all(layer).map(toSnapshot);
  }

  get(id: string): SnapshotRow | undefined {
    const row = this.#database.prepare("SELECT * FROM snapshots WHERE id = ?").get(id);
    return row === undefined ? undefined : toSnapshot(row);
  }

  /** All of them, also those that are being made; the newest first. */
  list(): SnapshotRow[] {
    return this.#database.prepare("SELECT * FROM snapshots ORDER BY created_at DESC, id").all().map(toSnapshot);
  }

  listReady(): SnapshotRow[] {
    return this.list().filter(({ state }) => state === "ready");
  }

  abandoned(): SnapshotRow[] {
    const making = this.#database.prepare("SELECT * FROM snapshots WHERE state = 'making'").all();
    return making.map(toSnapshot).filter(isAbandoned);
  }

  forget(id: string): void {
    this.#database.prepare("DELETE FROM snapshots WHERE id = ?").run(id);
  }
}

const schema = z.object({
  id: z.string(),
  slug: z.string(),
  created_at: z.number(),
  state: z.enum(["making", "ready"]),
  ...makerColumns,
  layer: z.string(),
  size: z.number(),
  image_id: z.string().nullable(),
  source_kind: z.enum(["volume", "sandbox", "file"]),
  source_id: z.string(),
  source_name: z.string().nullable(),
  parent_id: z.string().nullable(),
  is_clean: z.number(),
});

function toSnapshot(row: SqlRow): SnapshotRow {
  const parsed = parseRow(schema, "snapshot", row);
  return {
    id: parsed.id,
    slug: parsed.slug,
    createdAt: parsed.created_at,
    state: parsed.state,
    maker: makerOf(parsed),
    layer: parsed.layer,
    sizeBytes: parsed.size,
    imageId: parsed.image_id,
    source: { kind: parsed.source_kind, id: parsed.source_id, name: parsed.source_name },
    parentId: parsed.parent_id,
    isClean: parsed.is_clean !== 0,
  };
}
