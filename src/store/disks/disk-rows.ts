/** Rows of the disks' tables as they come from the database, parsed. Whatever does not parse is damage. */
import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import { z } from "zod";
import { isAlive, type ProcessIdentity } from "../../host/process-identity.ts";
import { SbxError } from "../../runtime/errors.ts";

export type SqlRow = Record<string, SQLOutputValue>;

/** Who makes something that is `making`. */
export const makerColumns = { maker_pid: z.number().nullable(), maker_start: z.string().nullable() };

export function makerOf(row: { maker_pid: number | null; maker_start: string | null }): ProcessIdentity | null {
  const { maker_pid: pid, maker_start: startTicks } = row;
  return pid === null || startTicks === null ? null : { pid, startTicks };
}

/** Whether what `maker` began will not be finished. */
export function isAbandoned({ state, maker }: { state: string; maker: ProcessIdentity | null }): boolean {
  return state === "making" && (maker === null || !isAlive(maker));
}

/** @throws SbxError `state_broken` */
export function parseRow<T>(schema: z.ZodType<T>, what: string, row: SqlRow): T {
  try {
    return schema.parse(row);
  } catch (cause) {
    throw new SbxError("state_broken", `the record of ${what} ${String(row.id)} is damaged`, {
      cause,
      hint: "sbx doctor",
    });
  }
}

/** An INSERT of these columns, and its values. */
export function insertion(table: string, columns: Record<string, SQLInputValue>): [string, SQLInputValue[]] {
  const names = Object.keys(columns);
  const marks = names.map(() => "?").join(", ");
  return [`INSERT INTO ${table} (${names.join(", ")}) VALUES (${marks})`, Object.values(columns)];
}
