/**
 * Who uses which disks. One writer at a time, or any number of readers. A claim counts while its holder lives: whoever
 * is gone has nothing to release, but a supervisor does so all the same, as the last thing after its machine has ended.
 */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { isAlive, ownIdentity } from "../../host/process-identity.ts";
import { SbxError } from "../../runtime/errors.ts";
import { insertion, parseRow, type SqlRow } from "./disk-rows.ts";

export type ClaimAccess = "read-write" | "read-only";

export interface ClaimRow {
  volumeId: string;
  /** Id of a sandbox, or the name of a process of the host. */
  holder: string;
  /** As a user calls it. */
  holderName: string;
  access: ClaimAccess;
  /** Where the sandbox has it; `/` for its root, null for a process. */
  path: string | null;
  claimedAt: number;
}

/** The root disk of a sandbox; one that has no record stands on its image and template alone. */
export interface SandboxDiskRow {
  sandboxId: string;
  base: string | null;
  hasTemplate: boolean;
  snapshotId: string | null;
  /** Null while it writes to the file in its directory. */
  head: string | null;
  next: string | null;
}

const LIVE = "('creating', 'running', 'stopping')";
const GONE = `NOT IN (SELECT id FROM sandboxes WHERE status IN ${LIVE})`;

export class ClaimStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Claims a volume. To be called in a transaction; the sandbox must be recorded already.
   *
   * @throws SbxError `volume_in_use` naming the holder
   */
  claim(volume: { id: string; slug: string }, sandboxId: string, access: ClaimAccess, path: string): void {
    this.#refuseConflict(volume, access, sandboxId);
    this.#insert(volume.id, sandboxId, access, path);
  }

  /** Claims a volume for work of this process. As {@link claim}. Returns the holder's name. */
  claimForProcess(volume: { id: string; slug: string }, access: ClaimAccess, purpose: string): string {
    const holder = `sbx ${purpose} (process ${process.pid})`;
    this.#refuseConflict(volume, access, holder);
    this.#insert(volume.id, holder, access, null);
    return holder;
  }

  /** Gives up all that a sandbox has. */
  release(sandboxId: string): void {
    this.#database.prepare("DELETE FROM claims WHERE holder = ?").run(sandboxId);
    this.#database.prepare("DELETE FROM sandbox_disks WHERE sandbox_id = ?").run(sandboxId);
  }

  /** Its root disk stands on its image and template alone. */
  forgetDisk(sandboxId: string): void {
    this.#database.prepare("DELETE FROM sandbox_disks WHERE sandbox_id = ?").run(sandboxId);
  }

  /** Gives up one volume. */
  releaseVolume(volumeId: string, holder: string): void {
    this.#database.prepare("DELETE FROM claims WHERE volume_id = ? AND holder = ?").run(volumeId, holder);
  }

  /** Claims that count. */
  list(): ClaimRow[] {
    const statement = `SELECT claims.*, sandboxes.name AS sandbox_name FROM claims
      LEFT JOIN sandboxes ON sandboxes.id = holder AND sandboxes.status IN ${LIVE}
      WHERE pid IS NOT NULL OR sandboxes.id IS NOT NULL ORDER BY claimed_at, holder`;
    return this.#database.prepare(statement).all().filter(isHeld).map(toClaim);
  }

  of(volumeId: string): ClaimRow[] {
    return this.list().filter((claim) => claim.volumeId === volumeId);
  }

  /** Whether {@link dropStale} would change anything. */
  hasStale(): boolean {
    const statement = `SELECT EXISTS (SELECT 1 FROM claims WHERE pid IS NULL AND holder ${GONE})
      OR EXISTS (SELECT 1 FROM sandbox_disks WHERE sandbox_id ${GONE}) AS found`;
    if (this.#database.prepare(statement).get()?.found !== 0) return true;
    return this.#database
      .prepare("SELECT * FROM claims WHERE pid IS NOT NULL")
      .all()
      .some((row) => !isHeld(row));
  }

  /** Removes claims and root disks of those that are gone. */
  dropStale(): void {
    const database = this.#database;
    database.exec(`DELETE FROM claims WHERE pid IS NULL AND holder ${GONE}`);
    database.exec(`DELETE FROM sandbox_disks WHERE sandbox_id ${GONE}`);
    for (const row of database.prepare("SELECT * FROM claims WHERE pid IS NOT NULL").all()) {
      if (isHeld(row)) continue;
      database
        .prepare("DELETE FROM claims WHERE volume_id = ? AND holder = ?")
        .run(String(row.volume_id), String(row.holder));
    }
  }

  diskOf(sandboxId: string): SandboxDiskRow | undefined {
    const row = this.#database.prepare("SELECT * FROM sandbox_disks WHERE sandbox_id = ?").get(sandboxId);
    return row === undefined ? undefined : toDisk(row);
  }

  /** Root disks of sandboxes that live. */
  listDisks(): SandboxDiskRow[] {
    const statement = `SELECT sandbox_disks.* FROM sandbox_disks
      JOIN sandboxes ON sandboxes.id = sandbox_id WHERE sandboxes.status IN ${LIVE}`;
    return this.#database.prepare(statement).all().map(toDisk);
  }

  /** Those of sandboxes that are gone as well. */
  unsettledDisks(): SandboxDiskRow[] {
    return this.#database.prepare("SELECT * FROM sandbox_disks WHERE next IS NOT NULL").all().map(toDisk);
  }

  setDisk(disk: SandboxDiskRow): void {
    this.#database
      .prepare(
        `INSERT OR REPLACE INTO sandbox_disks (sandbox_id, base, has_template, snapshot_id, head, next)
         VALUES (?, ?, ?, ?, ?, ?)`,
      )
      .run(disk.sandboxId, disk.base, Number(disk.hasTemplate), disk.snapshotId, disk.head, disk.next);
  }

  #refuseConflict(volume: { id: string; slug: string }, access: ClaimAccess, holder: string): void {
    const inTheWay = this.of(volume.id).find(
      // Readers may stand beside readers, but nobody twice.
      (held) => access === "read-write" || held.access === "read-write" || held.holder === holder,
    );
    if (inTheWay !== undefined) throw volumeInUse(volume, inTheWay);
  }

  #insert(volumeId: string, holder: string, access: ClaimAccess, path: string | null): void {
    const own = path === null ? ownIdentity() : null;
    const [statement, values] = insertion("claims", {
      ...{ volume_id: volumeId, holder, access, path, claimed_at: Date.now() },
      ...{ pid: own?.pid ?? null, start: own?.startTicks ?? null },
    });
    // What one that is gone has left.
    this.releaseVolume(volumeId, holder);
    this.#database.prepare(statement).run(...values);
  }
}

/** Says who has it, and how to get it. */
export function volumeInUse(volume: { slug: string }, { access, path, holderName }: ClaimRow): SbxError {
  const how = access === "read-only" ? "read" : "used";
  return new SbxError("volume_in_use", `volume ${volume.slug} is being ${how} by ${holderName}`, {
    hint: howToFree(volume.slug, path, holderName),
  });
}

function howToFree(slug: string, path: string | null, holderName: string): string {
  if (path === null) return "try again when that is done";
  return path === "/" ? `sbx kill ${holderName}` : `sbx volume detach ${slug} ${holderName}`;
}

function isHeld(row: SqlRow): boolean {
  return row.pid === null || isAlive({ pid: Number(row.pid), startTicks: String(row.start) });
}

const claimSchema = z.object({
  volume_id: z.string(),
  holder: z.string(),
  sandbox_name: z.string().nullable(),
  access: z.enum(["read-write", "read-only"]),
  path: z.string().nullable(),
  claimed_at: z.number(),
});

function toClaim(row: SqlRow): ClaimRow {
  const parsed = parseRow(claimSchema, "a volume's holder", row);
  return {
    volumeId: parsed.volume_id,
    holder: parsed.holder,
    holderName: parsed.sandbox_name ?? parsed.holder,
    access: parsed.access,
    path: parsed.path,
    claimedAt: parsed.claimed_at,
  };
}

const diskSchema = z.object({
  sandbox_id: z.string(),
  base: z.string().nullable(),
  has_template: z.number(),
  snapshot_id: z.string().nullable(),
  head: z.string().nullable(),
  next: z.string().nullable(),
});

function toDisk(row: SqlRow): SandboxDiskRow {
  const parsed = parseRow(diskSchema, "the disk of sandbox", row);
  return {
    sandboxId: parsed.sandbox_id,
    base: parsed.base,
    hasTemplate: parsed.has_template !== 0,
    snapshotId: parsed.snapshot_id,
    head: parsed.head,
    next: parsed.next,
  };
}
