/** Apps and layers: records with a slug, and the layers that they refer to. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { inTransaction } from "../database.ts";
import { parseRow, type SqlRow } from "../disks/disk-rows.ts";

export interface NamedRecord<Document> {
  id: string;
  slug: string;
  createdAt: number;
  updatedAt: number;
  document: Document;
  /** In the order of precedence. */
  layers: { id: string; slug: string }[];
}

export type NewRecord<Document> = Omit<NamedRecord<Document>, "updatedAt" | "layers"> & { layers: readonly string[] };

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue({ code: "custom", message: "is not JSON" });
    return z.NEVER;
  }
});
const rowSchema = z.object({
  ...{ id: z.string(), slug: z.string(), created_at: z.number(), updated_at: z.number() },
  document: json,
});
const refSchema = z.object({ owner: z.string(), id: z.string(), slug: z.string() });

export class NamedRecordStore<Document> {
  readonly #database: DatabaseSync;
  readonly #table: "apps" | "app_layers";
  readonly #schema: z.ZodType<Document>;

  constructor(database: DatabaseSync, table: "apps" | "app_layers", schema: z.ZodType<Document>) {
    this.#database = database;
    this.#table = table;
    this.#schema = schema;
  }

  /** The caller has checked that the slug is free, in the same transaction. */
  insert({ id, slug, createdAt, document, layers }: NewRecord<Document>): void {
    const statement = `INSERT INTO ${this.#table} (id, slug, created_at, updated_at, document) VALUES (?, ?, ?, ?, ?)`;
    this.#database.prepare(statement).run(id, slug, createdAt, createdAt, JSON.stringify(document));
    this.#refer(id, layers);
  }

  update(id: string, { slug, document, layers }: Omit<NewRecord<Document>, "id" | "createdAt">, now: number): void {
    const statement = `UPDATE ${this.#table} SET slug = ?, document = ?, updated_at = ? WHERE id = ?`;
    this.#database.prepare(statement).run(slug, JSON.stringify(document), now, id);
    this.#refer(id, layers);
  }

  /** By the whole id or slug. */
  find(ref: string): NamedRecord<Document> | undefined {
    const statement = `SELECT * FROM ${this.#table} WHERE id = ? OR slug = ? ORDER BY id = ? DESC LIMIT 1`;
    const row = this.#database.prepare(statement).get(ref, ref, ref);
    if (row === undefined) return undefined;
    const refs = this.#database.prepare(`${REFS} WHERE owner = ? ORDER BY position`).all(String(row.id));
    return this.#parse(row, refs);
  }

  /** The latest change first. */
  list(): NamedRecord<Document>[] {
    const byOwner = Map.groupBy(this.#database.prepare(`${REFS} ORDER BY owner, position`).all(), ({ owner }) => owner);
    const rows = this.#database.prepare(`SELECT * FROM ${this.#table} ORDER BY updated_at DESC, id`).all();
    return rows.map((row) => this.#parse(row, byOwner.get(row.id ?? null) ?? []));
  }

  count(): number {
    return Number(this.#database.prepare(`SELECT count(*) AS n FROM ${this.#table}`).get()?.n ?? 0);
  }

  remove(id: string): void {
    this.#refer(id, []);
    this.#database.prepare(`DELETE FROM ${this.#table} WHERE id = ?`).run(id);
  }

  /** Runs `work` while nobody else writes. */
  atOnce<T>(work: () => T): T {
    return inTransaction(this.#database, work);
  }

  #refer(owner: string, layers: readonly string[]): void {
    this.#database.prepare("DELETE FROM app_layer_refs WHERE owner = ?").run(owner);
    const statement = this.#database.prepare("INSERT INTO app_layer_refs (owner, position, layer) VALUES (?, ?, ?)");
    for (const [position, layer] of layers.entries()) statement.run(owner, position, layer);
  }

  #parse(row: SqlRow, refs: readonly SqlRow[]): NamedRecord<Document> {
    const { id, slug, created_at: createdAt, updated_at: updatedAt, document } = parseRow(rowSchema, "app", row);
    const parsed = parseRow(z.object({ document: this.#schema }), "app", { id, document } as SqlRow);
    const layers = refs.map((ref) => parseRow(refSchema, "layer", ref));
    return {
      ...{ id, slug, createdAt, updatedAt, document: parsed.document },
      layers: layers.map((layer) => ({ id: layer.id, slug: layer.slug })),
    };
  }
}

const REFS = "SELECT owner, layer AS id, slug FROM app_layer_refs JOIN app_layers ON app_layers.id = layer";

/** Who refers to layers. */
export class LayerUsers {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Apps that refer to it directly, by slug. */
  apps(layer: string): { id: string; slug: string; position: number }[] {
    const statement = `SELECT apps.id AS id, slug, position FROM app_layer_refs JOIN apps ON apps.id = owner
      WHERE layer = ? ORDER BY slug`;
    const rows = this.#database.prepare(statement).all(layer);
    return rows.map(({ id, slug, position }) => ({ id: String(id), slug: String(slug), position: Number(position) }));
  }

  /** Slugs of layers that include it. */
  layers(layer: string): string[] {
    const statement = `SELECT slug FROM app_layer_refs JOIN app_layers ON app_layers.id = owner
      WHERE layer = ? ORDER BY slug`;
    return this.#database
      .prepare(statement)
      .all(layer)
      .map(({ slug }) => String(slug));
  }

  /** How many apps refer to each layer that any refers to. */
  counts(): Map<string, number> {
    const statement = `SELECT layer, count(DISTINCT owner) AS n FROM app_layer_refs JOIN apps ON apps.id = owner
      GROUP BY layer`;
    return new Map(
      this.#database
        .prepare(statement)
        .all()
        .map(({ layer, n }) => [String(layer), Number(n)]),
    );
  }
}
