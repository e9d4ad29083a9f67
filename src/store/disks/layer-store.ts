/** Layers: the files that disks are made of. See disk-tables.ts for what they are. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { ownIdentity, type ProcessIdentity } from "../../host/process-identity.ts";
import { insertion, isAbandoned, makerColumns, makerOf, parseRow, type SqlRow } from "./disk-rows.ts";

export type LayerFormat = "raw" | "qcow2";
export type LayerState = "making" | "head" | "sealed" | "doomed";

/** By which a change of a sealed file is noticed. Not its inode: a home that was moved to another disk is whole. */
export interface LayerStamp {
  sizeBytes: number;
  mtimeNs: string;
}

export interface LayerRow {
  id: string;
  parent: string | null;
  baseImage: string | null;
  format: LayerFormat;
  /** What the disk shows, not what the file takes. */
  sizeBytes: number;
  state: LayerState;
  createdAt: number;
  maker: ProcessIdentity | null;
  stamp: LayerStamp | null;
  templateKey: string | null;
}

export type NewLayer = Pick<LayerRow, "id" | "parent" | "baseImage" | "format" | "sizeBytes"> & {
  templateKey?: string;
};

/** Longest chain that is followed: more than QEMU is given, so that a loop in damaged tables ends. */
const MAX_CHAIN = 1024;

/**
 * From everything that is in use downwards. What somebody makes counts as well, and so does what running sandboxes
 * write to; those that are over do not.
 */
const IN_USE = `
  WITH RECURSIVE in_use (id) AS (
    SELECT head FROM volumes
    UNION SELECT next FROM volumes WHERE next IS NOT NULL
    UNION SELECT layer FROM snapshots
    UNION SELECT layer FROM checkpoints WHERE layer IS NOT NULL
    UNION SELECT id FROM layers WHERE state = 'making' AND maker_pid IS NOT NULL
    UNION SELECT layer FROM (
      SELECT sandbox_id, base AS layer FROM sandbox_disks
      UNION SELECT sandbox_id, head FROM sandbox_disks
      UNION SELECT sandbox_id, next FROM sandbox_disks
    ) JOIN sandboxes ON sandboxes.id = sandbox_id
      WHERE layer IS NOT NULL AND sandboxes.status IN ('creating', 'running', 'stopping')
    UNION SELECT layers.parent FROM layers JOIN in_use ON layers.id = in_use.id WHERE layers.parent IS NOT NULL
  )`;

export class LayerStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Records a file that this process is about to make. */
  begin(layer: NewLayer, now: number): void {
    const maker = ownIdentity();
    const [statement, values] = insertion("layers", {
      ...{ id: layer.id, parent: layer.parent, base_image: layer.baseImage, format: layer.format },
      ...{ size: layer.sizeBytes, state: "making", created_at: now },
      ...{ maker_pid: maker.pid, maker_start: maker.startTicks, template_key: layer.templateKey ?? null },
    });
    this.#database.prepare(statement).run(...values);
  }

  /** From now on it is written to. */
  open(id: string): void {
    this.#database
      .prepare("UPDATE layers SET state = 'head', maker_pid = NULL, maker_start = NULL WHERE id = ?")
      .run(id);
  }

  /** From now on it never changes. */
  seal(id: string, stamp: LayerStamp): void {
    this.#database
      .prepare(
        `UPDATE layers SET state = 'sealed', maker_pid = NULL, maker_start = NULL, stamp_size = ?, stamp_mtime = ?
         WHERE id = ?`,
      )
      .run(stamp.sizeBytes, stamp.mtimeNs, id);
  }

  resize(id: string, sizeBytes: number): void {
    this.#database.prepare("UPDATE layers SET size = ? WHERE id = ?").run(sizeBytes, id);
  }

  get(id: string): LayerRow | undefined {
    const row = this.#database.prepare("SELECT * FROM layers WHERE id = ?").get(id);
    return row === undefined ? undefined : toLayer(row);
  }

  list(): LayerRow[] {
    return this.#database.prepare("SELECT * FROM layers ORDER BY created_at, id").all().map(toLayer);
  }

  /** The copy of a template's disk. */
  ofTemplate(templateKey: string): LayerRow | undefined {
    const row = this.#database.prepare("SELECT * FROM layers WHERE template_key = ?").get(templateKey);
    return row === undefined ? undefined : toLayer(row);
  }

  /** The layers of a disk, the lowest first. One that is not recorded ends the chain early: see {@link LayerRow.parent}. */
  chain(id: string): LayerRow[] {
    const chain: LayerRow[] = [];
    for (let next: string | null = id; next !== null && chain.length < MAX_CHAIN;) {
      const layer = this.get(next);
      if (layer === undefined) break;
      chain.unshift(layer);
      next = layer.parent;
    }
    return chain;
  }

  /** Images that disks in use stand on. */
  imagesInUse(): Set<string> {
    const rows = this.#database
      .prepare(`${IN_USE} SELECT DISTINCT base_image AS id FROM layers JOIN in_use USING (id) WHERE base_image NOTNULL`)
      .all();
    return new Set(rows.map(({ id }) => String(id)));
  }

  /** Layers that a process began and will not finish. */
  abandoned(): LayerRow[] {
    const statement = "SELECT * FROM layers WHERE state = 'making' AND maker_pid IS NOT NULL";
    return this.#database.prepare(statement).all().map(toLayer).filter(isAbandoned);
  }

  /** Nobody makes it any more: it is garbage unless something stands on it. */
  disown(id: string): void {
    this.#database.prepare("UPDATE layers SET maker_pid = NULL, maker_start = NULL WHERE id = ?").run(id);
  }

  forget(id: string): void {
    this.#database.prepare("DELETE FROM layers WHERE id = ?").run(id);
  }

  /** Its template's disk is to be copied anew. */
  forgetTemplate(id: string): void {
    this.#database.prepare("UPDATE layers SET template_key = NULL WHERE id = ?").run(id);
  }

  /** Marks what nothing is made of, so that nobody begins to use it, and returns it, upper layers first. */
  doomGarbage(): LayerRow[] {
    this.#database.exec(`${IN_USE} UPDATE layers SET state = 'doomed', template_key = NULL
      WHERE state <> 'doomed' AND id NOT IN (SELECT id FROM in_use)`);
    // One that was taken into use all the same is damage for its user, and none of anybody else.
    const doomed = `${IN_USE} SELECT * FROM layers WHERE state = 'doomed' AND id NOT IN (SELECT id FROM in_use)`;
    return this.#database.prepare(doomed).all().map(toLayer);
  }

  /** As {@link doomGarbage}, without a change. */
  findGarbage(): LayerRow[] {
    const rows = this.#database.prepare(`${IN_USE} SELECT * FROM layers WHERE id NOT IN (SELECT id FROM in_use)`).all();
    return rows.map(toLayer);
  }
}

const schema = z.object({
  id: z.string(),
  parent: z.string().nullable(),
  base_image: z.string().nullable(),
  format: z.enum(["raw", "qcow2"]),
  size: z.number(),
  state: z.enum(["making", "head", "sealed", "doomed"]),
  created_at: z.number(),
  ...makerColumns,
  stamp_size: z.number().nullable(),
  stamp_mtime: z.string().nullable(),
  template_key: z.string().nullable(),
});

function toLayer(row: SqlRow): LayerRow {
  const parsed = parseRow(schema, "layer", row);
  const { stamp_size: sizeBytes, stamp_mtime: mtimeNs } = parsed;
  return {
    id: parsed.id,
    parent: parsed.parent,
    baseImage: parsed.base_image,
    format: parsed.format,
    sizeBytes: parsed.size,
    state: parsed.state,
    createdAt: parsed.created_at,
    maker: makerOf(parsed),
    stamp: sizeBytes === null || mtimeNs === null ? null : { sizeBytes, mtimeNs },
    templateKey: parsed.template_key,
  };
}
