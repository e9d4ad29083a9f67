/** Sandboxes in the state database: one row each, changed only along the lifecycle's table. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";
import { z } from "zod";
import type { ProcessIdentity } from "../host/process-identity.ts";
import { SbxError } from "../runtime/errors.ts";
import type { StopReason } from "../runtime/types.ts";
import type { RecordedStatus } from "./lifecycle.ts";
import { resolvedSpecSchema, type ResolvedSpecRecord } from "../protocol/sandbox-record.ts";
import { STOP_REASONS } from "../protocol/stop-reasons.ts";
import { translateDatabaseError } from "./database.ts";
import { KeptReading } from "./kept-reading.ts";
import { isLive, sourcesOf } from "./lifecycle.ts";

export interface SandboxRow {
  id: string;
  name: string | null;
  status: RecordedStatus;
  createdAt: number;
  startedAt: number | null;
  stoppedAt: number | null;
  expiresAt: number | null;
  reason: StopReason | null;
  detail: string | null;
  spec: ResolvedSpecRecord;
  directory: string;
  socket: string;
  creator: ProcessIdentity;
  supervisor: ProcessIdentity | null;
  vmPid: number | null;
  /** Of a running one: whether it stands still by its owner's wish. */
  isPaused: boolean;
}

export type NewSandbox = Pick<SandboxRow, "id" | "name" | "createdAt" | "spec" | "directory" | "socket" | "creator">;

export type SandboxChange = Partial<
  Pick<SandboxRow, "startedAt" | "stoppedAt" | "expiresAt" | "reason" | "detail" | "supervisor" | "vmPid" | "isPaused">
>;

const LIVE = "('creating', 'running', 'stopping')";

export class SandboxStore {
  readonly #database: DatabaseSync;
  readonly #rows: KeptReading<readonly SandboxRow[]>;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#rows = new KeptReading(database, () =>
      database.prepare("SELECT * FROM sandboxes ORDER BY created_at DESC, id").all().map(parseRow),
    );
  }

  /** Of the database's file. */
  get path(): string {
    return this.#database.location() ?? "in memory";
  }

  /** @throws SbxError `name_in_use`, `disk_full` */
  insert(row: NewSandbox): void {
    const statement = this.#database.prepare(
      `INSERT INTO sandboxes (id, name, status, created_at, spec, directory, socket, creator_pid, creator_start)
       VALUES (?, ?, 'creating', ?, ?, ?, ?, ?, ?)`,
    );
    const spec = JSON.stringify(row.spec);
    const { pid, startTicks } = row.creator;
    try {
      statement.run(row.id, row.name, row.createdAt, spec, row.directory, row.socket, pid, startTicks);
    } catch (error) {
      // SQLITE_CONSTRAINT_UNIQUE on the partial index: the name belongs to a live sandbox.
      if ((error as { errcode?: number }).errcode !== 2067) throw this.#translate(error);
      throw new SbxError("name_in_use", `the name ${JSON.stringify(row.name)} belongs to a sandbox that is running`, {
        hint: `choose another name, or end that one: sbx kill ${row.name ?? row.id}`,
      });
    }
  }

  get(id: string): SandboxRow | undefined {
    const row = this.#database.prepare("SELECT * FROM sandboxes WHERE id = ?").get(id);
    return row === undefined ? undefined : parseRow(row);
  }

  /**
   * All rows, the newest first.
   *
   * @throws SbxError `state_broken` for a row that is not what this class writes
   */
  list(): readonly SandboxRow[] {
    return this.#rows.get();
  }

  listLive(): SandboxRow[] {
    return this.list().filter(({ status }) => isLive(status));
  }

  /**
   * Moves a sandbox along the lifecycle's table, with what goes with it. Returns false if its status does not allow
   * the step (another process was first).
   */
  transition(id: string, to: RecordedStatus, change: SandboxChange = {}): boolean {
    const sources = sourcesOf(to);
    return this.#update(id, change, { status: to }, `status IN (${sources.map((s) => `'${s}'`).join(", ")})`);
  }

  /** Changes facts of a live sandbox. Returns false if it is not live any more. */
  amend(id: string, change: SandboxChange): boolean {
    return this.#update(id, change, {}, `status IN ${LIVE}`);
  }

  /** Forgets a sandbox that is over. */
  forget(id: string): boolean {
    return this.#run(`DELETE FROM sandboxes WHERE id = ? AND status NOT IN ${LIVE}`, [id]);
  }

  #update(id: string, change: SandboxChange, extra: Record<string, SQLInputValue>, condition: string): boolean {
    const columns = { ...extra, ...toColumns(change) };
    const names = Object.keys(columns);
    if (names.length === 0) return true;
    const assignments = names.map((name) => `${name} = ?`).join(", ");
    const values = [...Object.values(columns), id];
    return this.#run(`UPDATE sandboxes SET ${assignments} WHERE id = ? AND ${condition}`, values);
  }

  #run(statement: string, values: SQLInputValue[]): boolean {
    try {
      return this.#database.prepare(statement).run(...values).changes > 0;
    } catch (error) {
      throw this.#translate(error);
    }
  }

  #translate(error: unknown): unknown {
    return translateDatabaseError(error, this.path);
  }
}

function toColumns(change: SandboxChange): Record<string, SQLInputValue> {
  const columns: Record<string, SQLInputValue> = {};
  if (change.startedAt !== undefined) columns.started_at = change.startedAt;
  if (change.stoppedAt !== undefined) columns.stopped_at = change.stoppedAt;
  if (change.expiresAt !== undefined) columns.expires_at = change.expiresAt;
  if (change.reason !== undefined) columns.reason = change.reason;
  if (change.detail !== undefined) columns.detail = change.detail;
  if (change.vmPid !== undefined) columns.vm_pid = change.vmPid;
  if (change.isPaused !== undefined) columns.paused = Number(change.isPaused);
  if (change.supervisor !== undefined) {
    columns.supervisor_pid = change.supervisor?.pid ?? null;
    columns.supervisor_start = change.supervisor?.startTicks ?? null;
  }
  return columns;
}

const statusSchema = z.enum(["creating", "running", "stopping", "stopped", "failed"]);
const reasonSchema = z.enum(STOP_REASONS);

const rowSchema = z.object({
  id: z.string(),
  name: z.string().nullable(),
  status: statusSchema,
  created_at: z.number(),
  started_at: z.number().nullable(),
  stopped_at: z.number().nullable(),
  expires_at: z.number().nullable(),
  reason: reasonSchema.nullable(),
  detail: z.string().nullable(),
  spec: z.string(),
  directory: z.string(),
  socket: z.string(),
  creator_pid: z.number(),
  creator_start: z.string(),
  supervisor_pid: z.number().nullable(),
  supervisor_start: z.string().nullable(),
  vm_pid: z.number().nullable(),
  paused: z.number(),
});

function parseRow(row: Record<string, SQLOutputValue>): SandboxRow {
  try {
    return toRow(rowSchema.parse(row));
  } catch (cause) {
    throw new SbxError("state_broken", `the record of sandbox ${String(row.id)} is damaged`, {
      cause,
      hint: "sbx doctor",
    });
  }
}

function toRow(parsed: z.infer<typeof rowSchema>): SandboxRow {
  const { supervisor_pid: pid, supervisor_start: startTicks } = parsed;
  return {
    id: parsed.id,
    name: parsed.name,
    status: parsed.status,
    createdAt: parsed.created_at,
    startedAt: parsed.started_at,
    stoppedAt: parsed.stopped_at,
    expiresAt: parsed.expires_at,
    reason: parsed.reason,
    detail: parsed.detail,
    spec: resolvedSpecSchema.parse(JSON.parse(parsed.spec)),
    directory: parsed.directory,
    socket: parsed.socket,
    creator: { pid: parsed.creator_pid, startTicks: parsed.creator_start },
    supervisor: pid === null || startTicks === null ? null : { pid, startTicks },
    vmPid: parsed.vm_pid,
    isPaused: parsed.paused !== 0,
  };
}
