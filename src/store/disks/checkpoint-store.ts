/** Checkpoints: machines that were saved with their memory. The files lie in a directory, the disk is a layer. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { ownIdentity, type ProcessIdentity } from "../../host/process-identity.ts";
import { insertion, isAbandoned, makerColumns, makerOf, parseRow, type SqlRow } from "./disk-rows.ts";

export interface CheckpointRow {
  id: string;
  name: string;
  createdAt: number;
  state: "making" | "ready";
  maker: ProcessIdentity | null;
  /** Sealed layer of the root disk; null until it is known. */
  layer: string | null;
  /** Absolute. */
  directory: string;
  /** What the part that makes checkpoints keeps about one, as JSON. */
  spec: string;
}

/** What names of those begin with that are kept for apps. Nobody else's can: they have no slash. */
export const APP_CHECKPOINTS = "app/";

export type NewCheckpoint = Pick<CheckpointRow, "id" | "name" | "directory" | "spec">;

export class CheckpointStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Records a checkpoint that this process is about to make, before its directory is there. */
  begin(checkpoint: NewCheckpoint, now: number): void {
    const maker = ownIdentity();
    const { id, name, directory, spec } = checkpoint;
    const [statement, values] = insertion("checkpoints", {
      ...{ id, name, created_at: now, state: "making", maker_pid: maker.pid, maker_start: maker.startTicks },
      ...{ directory, spec },
    });
    this.#database.prepare(statement).run(...values);
  }

  /** The layer of a checkpoint that is being made is known: it must not go before the checkpoint is complete. */
  hold(id: string, layer: string): void {
    this.#database.prepare("UPDATE checkpoints SET layer = ? WHERE id = ? AND state = 'making'").run(layer, id);
  }

  /** It is being removed: if that does not come to its end, the next command does it. */
  doom(id: string): void {
    const statement = "UPDATE checkpoints SET state = 'making', maker_pid = NULL, maker_start = NULL WHERE id = ?";
    this.#database.prepare(statement).run(id);
  }

  /** The checkpoint is complete. */
  ready(id: string, layer: string, spec: string): void {
    const statement = `UPDATE checkpoints SET state = 'ready', maker_pid = NULL, maker_start = NULL, layer = ?, spec = ?
      WHERE id = ?`;
    this.#database.prepare(statement).run(layer, spec, id);
  }

  get(id: string): CheckpointRow | undefined {
    const row = this.#database.prepare("SELECT * FROM checkpoints WHERE id = ?").get(id);
    return row === undefined ? undefined : toCheckpoint(row);
  }

  list(): CheckpointRow[] {
    return this.#database.prepare("SELECT * FROM checkpoints ORDER BY created_at DESC, id").all().map(toCheckpoint);
  }

  /** Those that somebody has named; the others are kept for apps, and come and go with them. */
  listNamed(): CheckpointRow[] {
    return this.list().filter(({ name }) => !name.startsWith(APP_CHECKPOINTS));
  }

  /** Those that are kept for apps. */
  listOfApps(): CheckpointRow[] {
    return this.list().filter(({ name }) => name.startsWith(APP_CHECKPOINTS));
  }

  abandoned(): CheckpointRow[] {
    const making = this.#database.prepare("SELECT * FROM checkpoints WHERE state = 'making'").all();
    return making.map(toCheckpoint).filter(isAbandoned);
  }

  forget(id: string): void {
    this.#database.prepare("DELETE FROM checkpoints WHERE id = ?").run(id);
  }
}

const schema = z.object({
  id: z.string(),
  name: z.string(),
  created_at: z.number(),
  state: z.enum(["making", "ready"]),
  ...makerColumns,
  layer: z.string().nullable(),
  directory: z.string(),
  spec: z.string(),
});

function toCheckpoint(row: SqlRow): CheckpointRow {
  const parsed = parseRow(schema, "checkpoint", row);
  const { id, name, state, layer, directory, spec } = parsed;
  return { id, name, createdAt: parsed.created_at, state, maker: makerOf(parsed), layer, directory, spec };
}
