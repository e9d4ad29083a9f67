/** Volumes: disks with a name, written to by one sandbox at a time. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { ownIdentity, type ProcessIdentity } from "../../host/process-identity.ts";
import { insertion, isAbandoned, makerColumns, makerOf, parseRow, type SqlRow } from "./disk-rows.ts";

export interface VolumeRow {
  id: string;
  slug: string;
  capacityBytes: number;
  createdAt: number;
  state: "making" | "ready";
  maker: ProcessIdentity | null;
  /** Layer that is written to. */
  head: string;
  /** Head to be, while a snapshot of a volume in use is taken. */
  next: string | null;
  growTo: number | null;
  /** Image that boots it; null for one that nothing boots from. */
  imageId: string | null;
  /** Snapshot that it was made from. */
  base: { id: string; slug: string } | null;
  removedAt: number | null;
}

export type NewVolume = Pick<VolumeRow, "id" | "slug" | "capacityBytes" | "head" | "imageId" | "base">;

export class VolumeStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Records a volume that this process is about to make. The caller has checked that the name is free. */
  begin(volume: NewVolume, now: number): void {
    const maker = ownIdentity();
    const [statement, values] = insertion("volumes", {
      ...{ id: volume.id, slug: volume.slug, capacity: volume.capacityBytes, created_at: now, state: "making" },
      ...{ maker_pid: maker.pid, maker_start: maker.startTicks, head: volume.head, image_id: volume.imageId },
      ...{ base_id: volume.base?.id ?? null, base_slug: volume.base?.slug ?? null },
    });
    this.#database.prepare(statement).run(...values);
  }

  ready(id: string): void {
    this.#run("UPDATE volumes SET state = 'ready', maker_pid = NULL, maker_start = NULL WHERE id = ?", id);
  }

  get(id: string): VolumeRow | undefined {
    const row = this.#database.prepare("SELECT * FROM volumes WHERE id = ?").get(id);
    return row === undefined ? undefined : toVolume(row);
  }

  /** All of them, also those that are being made or were removed; the newest first. */
  list(): VolumeRow[] {
    return this.#database.prepare("SELECT * FROM volumes ORDER BY created_at DESC, id").all().map(toVolume);
  }

  /** Those that are there for the user. */
  listReady(): VolumeRow[] {
    return this.list().filter(({ state, removedAt }) => state === "ready" && removedAt === null);
  }

  abandoned(): VolumeRow[] {
    return this.#database
      .prepare("SELECT * FROM volumes WHERE state = 'making'")
      .all()
      .map(toVolume)
      .filter(isAbandoned);
  }

  /** Those that hold a promise: a head that is about to be replaced, or a size that is about to be reached. */
  unsettled(): VolumeRow[] {
    const statement = "SELECT * FROM volumes WHERE next IS NOT NULL OR grow_to IS NOT NULL";
    return this.#database.prepare(statement).all().map(toVolume);
  }

  removedBefore(time: number): VolumeRow[] {
    return this.#database.prepare("SELECT * FROM volumes WHERE removed_at < ?").all(time).map(toVolume);
  }

  /** Puts another layer on top. */
  setHead(id: string, head: string): void {
    this.#run("UPDATE volumes SET head = ?, next = NULL WHERE id = ?", head, id);
  }

  setNext(id: string, next: string | null): void {
    this.#run("UPDATE volumes SET next = ? WHERE id = ?", next, id);
  }

  /** @param capacityBytes null to take it back */
  beginGrowth(id: string, capacityBytes: number | null): void {
    this.#run("UPDATE volumes SET grow_to = ? WHERE id = ?", capacityBytes, id);
  }

  endGrowth(id: string): void {
    this.#run("UPDATE volumes SET capacity = coalesce(grow_to, capacity), grow_to = NULL WHERE id = ?", id);
  }

  markRemoved(id: string, now: number): void {
    this.#run("UPDATE volumes SET removed_at = ? WHERE id = ?", now, id);
  }

  restore(id: string, slug: string): void {
    this.#run("UPDATE volumes SET removed_at = NULL, slug = ? WHERE id = ?", slug, id);
  }

  /** The snapshot is gone; what stands on it keeps its layers. */
  forgetBase(snapshotId: string): void {
    this.#run("UPDATE volumes SET base_id = NULL, base_slug = NULL WHERE base_id = ?", snapshotId);
  }

  forget(id: string): void {
    this.#run("DELETE FROM claims WHERE volume_id = ?", id);
    this.#run("DELETE FROM volumes WHERE id = ?", id);
  }

  #run(statement: string, ...values: (string | number | null)[]): void {
    this.#database.prepare(statement).run(...values);
  }
}

const schema = z.object({
  id: z.string(),
  slug: z.string(),
  capacity: z.number(),
  created_at: z.number(),
  state: z.enum(["making", "ready"]),
  ...makerColumns,
  head: z.string(),
  next: z.string().nullable(),
  grow_to: z.number().nullable(),
  image_id: z.string().nullable(),
  base_id: z.string().nullable(),
  base_slug: z.string().nullable(),
  removed_at: z.number().nullable(),
});

function toVolume(row: SqlRow): VolumeRow {
  const parsed = parseRow(schema, "volume", row);
  return {
    id: parsed.id,
    slug: parsed.slug,
    capacityBytes: parsed.capacity,
    createdAt: parsed.created_at,
    state: parsed.state,
    maker: makerOf(parsed),
    head: parsed.head,
    next: parsed.next,
    growTo: parsed.grow_to,
    imageId: parsed.image_id,
    base: parsed.base_id === null ? null : { id: parsed.base_id, slug: parsed.base_slug ?? parsed.base_id },
    removedAt: parsed.removed_at,
  };
}
