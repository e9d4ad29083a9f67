/**
 * A copy of the disks' tables beside the disks. The database can be lost (it is made anew when it is damaged) without a
 * volume being lost with it: what was in the tables is read back from here. It is written before each change of the
 * tables is committed, so it is never behind them.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { SbxError } from "../../runtime/errors.ts";
import { insertion } from "./disk-rows.ts";
import { DISK_TABLE_NAMES } from "./disk-tables.ts";

const SCHEMA = 1;
/** Some fifty thousand layers. */
const MAX_BYTES = 32 * 1024 ** 2;

const rowsSchema = z.array(z.record(z.string().regex(/^[a-z_]{1,32}$/), z.union([z.string(), z.number(), z.null()])));
const catalogueSchema = z.object({
  schema: z.literal(SCHEMA),
  tables: z.record(z.enum(DISK_TABLE_NAMES), rowsSchema),
});

/** Writes what the tables hold now; nothing at all for empty ones. Meant for the end of a transaction. */
export function writeCatalogue(database: DatabaseSync, file: string): void {
  const tables = Object.fromEntries(
    DISK_TABLE_NAMES.map((name) => [name, database.prepare(`SELECT * FROM ${name}`).all()]),
  );
  if (Object.values(tables).every((rows) => rows.length === 0)) {
    rmSync(file, { force: true });
    return;
  }
  const temporary = `${file}.tmp`;
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    const handle = openSync(temporary, "w", 0o600);
    try {
      writeFileSync(handle, JSON.stringify({ schema: SCHEMA, tables }));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Fills empty tables from a catalogue. In a transaction: all of it or nothing.
 *
 * @throws SbxError `state_broken` when it is not what {@link writeCatalogue} writes
 */
export function restoreCatalogue(database: DatabaseSync, file: string): void {
  const text = readCatalogue(file);
  try {
    const { tables } = catalogueSchema.parse(JSON.parse(text));
    for (const name of DISK_TABLE_NAMES) {
      for (const row of tables[name]) {
        const [statement, values] = insertion(name, row);
        database.prepare(statement).run(...values);
      }
    }
  } catch (cause) {
    throw new SbxError("state_broken", `the record of volumes and snapshots ${file} is damaged`, { cause });
  }
}

function readCatalogue(file: string): string {
  if (statSync(file).size > MAX_BYTES) throw new SbxError("state_broken", `${file} is too long`);
  return readFileSync(file, "utf8");
}
