/** All that is recorded about disks: layers, volumes, snapshots, checkpoints, and who uses them. */
import { existsSync, renameSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { SbxError } from "../../runtime/errors.ts";
import { DAMAGED_SUFFIX, inTransaction, translateDatabaseError } from "../database.ts";
import { restoreCatalogue, writeCatalogue } from "./catalogue.ts";
import { CheckpointStore } from "./checkpoint-store.ts";
import { ClaimStore } from "./claim-store.ts";
import { DISK_NAME, DISK_NAME_RULE } from "./disk-names.ts";
import { LayerStore } from "./layer-store.ts";
import { SnapshotStore } from "./snapshot-store.ts";
import { VolumeStore } from "./volume-store.ts";

export class DiskStore {
  readonly layers: LayerStore;
  readonly volumes: VolumeStore;
  readonly snapshots: SnapshotStore;
  readonly checkpoints: CheckpointStore;
  readonly claims: ClaimStore;
  readonly #database: DatabaseSync;
  readonly #cataloguePath: string;

  /** @param cataloguePath see catalogue.ts */
  constructor(database: DatabaseSync, cataloguePath: string) {
    this.#database = database;
    this.#cataloguePath = cataloguePath;
    this.layers = new LayerStore(database);
    this.volumes = new VolumeStore(database);
    this.snapshots = new SnapshotStore(database);
    this.checkpoints = new CheckpointStore(database);
    this.claims = new ClaimStore(database);
  }

  /**
   * Changes the tables: all that `work` does, or nothing; it is on the host's disk when this returns. The only way to change them, but for
   * {@link ClaimStore.release} and {@link ClaimStore.releaseVolume}.
   *
   * @param options `frees`: the change makes room, so a full disk must not be in its way
   * @throws SbxError `disk_full`, `state_broken`, and what `work` throws
   */
  change<T>(work: () => T, options: { frees?: boolean } = {}): T {
    try {
      // Guests are told that what they synced is on the disk: so must be the record of the file that it is in. Other
      // tables may lose their latest changes with the host's power.
      this.#database.exec("PRAGMA synchronous = FULL");
      return inTransaction(this.#database, () => {
        const result = work();
        this.#writeCatalogue(options.frees === true);
        return result;
      });
    } catch (error) {
      if (isSystemError(error, "ENOSPC")) throw this.#full(error);
      throw isSqlite(error) ? translateDatabaseError(error, this.#database.location() ?? "in memory") : error;
    } finally {
      this.#database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  /** Whether there is anything to look after. Costs next to nothing. */
  isEmpty(): boolean {
    const statement = "SELECT EXISTS (SELECT 1 FROM layers) OR EXISTS (SELECT 1 FROM checkpoints) AS found";
    return this.#database.prepare(statement).get()?.found === 0;
  }

  /**
   * Reads back what a lost database held, if there is nothing yet. A catalogue that cannot be read is set aside: without
   * it the files are there, but nobody knows what they are.
   */
  restore(): void {
    if (!existsSync(this.#cataloguePath)) return;
    try {
      inTransaction(this.#database, () => {
        // Somebody may have begun with a first volume meanwhile.
        if (this.isEmpty()) restoreCatalogue(this.#database, this.#cataloguePath);
      });
    } catch (error) {
      const isBroken = error instanceof SbxError && error.code === "state_broken";
      // Rows that name others which are not there are noticed at the end of the transaction.
      if (!isBroken && !isConstraint(error)) throw error;
      renameSync(this.#cataloguePath, `${this.#cataloguePath}${DAMAGED_SUFFIX}${Date.now()}`);
    }
  }

  /**
   * Checks that a name is one, and free. In the transaction that takes it.
   *
   * @throws SbxError `usage`, `name_in_use`
   */
  checkName(slug: string): void {
    if (!DISK_NAME.test(slug)) {
      throw new SbxError("usage", `${JSON.stringify(slug)} cannot be the name of a volume or snapshot`, {
        hint: DISK_NAME_RULE,
      });
    }
    for (const [table, kind] of [
      ["volumes", "volume"],
      ["snapshots", "snapshot"],
    ] as const) {
      const condition = kind === "volume" ? "slug = ? AND removed_at IS NULL" : "slug = ?";
      if (this.#database.prepare(`SELECT 1 FROM ${table} WHERE ${condition}`).get(slug) === undefined) continue;
      throw new SbxError("name_in_use", `there is a ${kind} ${slug} already`, {
        hint: `choose another name, or remove that one: sbx ${kind} remove ${slug}`,
      });
    }
  }

  #writeCatalogue(mayFail: boolean): void {
    try {
      writeCatalogue(this.#database, this.#cataloguePath);
    } catch (error) {
      if (!mayFail || !isSystemError(error, "ENOSPC")) throw error;
    }
  }

  #full(cause: unknown): SbxError {
    return new SbxError("disk_full", `there is no room to write ${this.#cataloguePath}`, { cause, hint: "sbx prune" });
  }
}

function isSystemError(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === code;
}

/** SQLITE_CONSTRAINT (sqlite.org/rescode.html). */
function isConstraint(error: unknown): boolean {
  return (((error as { errcode?: number } | undefined)?.errcode ?? 0) & 0xff) === 19;
}

function isSqlite(error: unknown): boolean {
  return typeof (error as { errcode?: unknown } | undefined)?.errcode === "number";
}
