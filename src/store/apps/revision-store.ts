/** Revisions and the timelines in which they are active. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { z } from "zod";
import { isAlive, ownIdentity } from "../../host/process-identity.ts";
import { REVISION_STATUSES, type Progress, type RevisionStatus } from "../../protocol/app-values.ts";
import { inTransaction } from "../database.ts";
import { insertion, makerColumns, makerOf, parseRow, type SqlRow } from "../disks/disk-rows.ts";
import { revisionDocumentSchema, type RevisionDocument } from "./app-documents.ts";

export interface RevisionRow {
  id: string;
  app: { id: string; slug: string };
  status: RevisionStatus;
  createdAt: number;
  /** SHA-256 of its files. */
  content: string | null;
  cancelRequestedAt: number | null;
  document: RevisionDocument;
}

export interface RevisionChange {
  status?: RevisionStatus;
  content?: string;
  document?: Partial<RevisionDocument>;
}

export interface TimelineRow {
  slug: string;
  app: { id: string; slug: string };
  revision: string;
  updatedAt: number;
}

export const PRODUCTION_TIMELINE = "production";

const SELECT = "SELECT revisions.*, apps.slug AS app_slug FROM revisions JOIN apps ON apps.id = app";
const UNFINISHED = "status IN ('queued', 'building')";

export class RevisionStore {
  readonly #database: DatabaseSync;
  #active: StatementSync | undefined;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Records one that this process is about to make. */
  insert(row: { id: string; app: string; createdAt: number; document: RevisionDocument }): void {
    const maker = ownIdentity();
    const [statement, values] = insertion("revisions", {
      ...{ id: row.id, app: row.app, status: "queued", created_at: row.createdAt, content: null },
      ...{ maker_pid: maker.pid, maker_start: maker.startTicks, document: JSON.stringify(row.document) },
    });
    this.#database.prepare(statement).run(...values);
  }

  get(id: string): RevisionRow | undefined {
    const row = this.#database.prepare(`${SELECT} WHERE revisions.id = ?`).get(id);
    return row === undefined ? undefined : toRevision(row);
  }

  /** Those of one app, the newest first. */
  list(app: string): RevisionRow[] {
    const statement = `${SELECT} WHERE app = ? ORDER BY revisions.created_at DESC, revisions.id`;
    return this.#database.prepare(statement).all(app).map(toRevision);
  }

  /** Changes what is given and leaves the rest. Nothing happens to one that is not there any more. */
  change(id: string, change: RevisionChange): void {
    inTransaction(this.#database, () => this.#change(id, change));
  }

  /** The first request counts. */
  requestCancel(id: string, now: number): void {
    const statement = `UPDATE revisions SET cancel_at = ? WHERE id = ? AND cancel_at IS NULL AND ${UNFINISHED}`;
    this.#database.prepare(statement).run(now, id);
  }

  /** Those whose makers are gone. */
  abandoned(): RevisionRow[] {
    const rows = this.#database.prepare(`${SELECT} WHERE ${UNFINISHED}`).all();
    return rows.filter((row) => isOrphan(row)).map(toRevision);
  }

  /** With its timelines. False for one that is active in the timeline `unless`, which stays as it is. */
  remove(id: string, unless?: string): boolean {
    return inTransaction(this.#database, () => {
      const isActive = this.timelines({ revision: id }).some(({ slug }) => slug === unless);
      if (isActive) return false;
      this.#database.prepare("DELETE FROM timelines WHERE revision = ?").run(id);
      this.#database.prepare("DELETE FROM revisions WHERE id = ?").run(id);
      return true;
    });
  }

  removeOfApp(app: string): void {
    this.#database.prepare("DELETE FROM timelines WHERE app = ?").run(app);
    this.#database.prepare("DELETE FROM revisions WHERE app = ?").run(app);
  }

  /** Whether any revision has these files. */
  isUsed(content: string): boolean {
    return this.#database.prepare("SELECT 1 FROM revisions WHERE content = ?").get(content) !== undefined;
  }

  /**
   * Makes a revision the active one of a timeline: all of it or nothing, whatever is killed in between. False for one that
   * was removed.
   */
  activate(app: string, slug: string, revision: string, now: number): boolean {
    return inTransaction(this.#database, () => {
      if (this.get(revision)?.app.id !== app) return false;
      this.#activate(app, slug, revision, now);
      return true;
    });
  }

  /**
   * Ends the making of a revision, and makes it the active one of all of its timelines: none is switched to one that is
   * not known to run, and one that was made is active in all of them. False for one that was removed or given up.
   */
  succeed(id: string, now: number, next: (progress: Progress) => Progress): boolean {
    return inTransaction(this.#database, () => {
      const row = this.get(id);
      if (row === undefined || row.cancelRequestedAt !== null) return false;
      const { progress } = row.document;
      for (const { slug } of progress.timelines) this.#activate(row.app.id, slug, id, now);
      this.#change(id, { status: "succeeded", document: { progress: next(progress), finishedAt: now } });
      return true;
    });
  }

  /** The active revision of a timeline. Asked for with every request of the gateway. */
  activeIn(app: string, slug: string): string | undefined {
    this.#active ??= this.#database.prepare("SELECT revision FROM timelines WHERE app = ? AND slug = ?");
    const revision = this.#active.get(app, slug)?.revision;
    return typeof revision === "string" ? revision : undefined;
  }

  /** By slug. */
  timelines(where: { app: string } | { revision: string }): TimelineRow[] {
    const [column, value] = "app" in where ? ["timelines.app", where.app] : ["revision", where.revision];
    const statement = `SELECT timelines.*, apps.slug AS app_slug FROM timelines JOIN apps ON apps.id = timelines.app
      WHERE ${column} = ? ORDER BY timelines.slug`;
    return this.#database.prepare(statement).all(value).map(toTimeline);
  }

  #activate(app: string, slug: string, revision: string, now: number): void {
    const statement = "INSERT OR REPLACE INTO timelines (app, slug, revision, updated_at) VALUES (?, ?, ?, ?)";
    this.#database.prepare(statement).run(app, slug, revision, now);
    if (slug === PRODUCTION_TIMELINE) this.#change(revision, { document: { productionAt: now } });
  }

  #change(id: string, { status, content, document }: RevisionChange): void {
    const row = this.get(id);
    if (row === undefined) return;
    const merged = JSON.stringify({ ...row.document, ...document });
    this.#database
      .prepare("UPDATE revisions SET status = ?, content = ?, document = ? WHERE id = ?")
      .run(status ?? row.status, content ?? row.content, merged, id);
  }
}

const rowSchema = z.object({
  ...{ id: z.string(), app: z.string(), app_slug: z.string(), status: z.enum(REVISION_STATUSES) },
  ...{ created_at: z.number(), content: z.string().nullable(), cancel_at: z.number().nullable() },
  ...makerColumns,
  document: z.string(),
});

function isOrphan({ maker_pid: pid, maker_start: start }: SqlRow): boolean {
  const maker = makerOf({
    maker_pid: typeof pid === "number" ? pid : null,
    maker_start: typeof start === "string" ? start : null,
  });
  return maker === null || !isAlive(maker);
}

function toRevision(row: SqlRow): RevisionRow {
  const parsed = parseRow(rowSchema, "revision", row);
  let document: unknown;
  try {
    document = JSON.parse(parsed.document);
  } catch {
    document = undefined; // The schema says what is wrong.
  }
  const whole = z.object({ document: revisionDocumentSchema });
  return {
    ...{ id: parsed.id, status: parsed.status, createdAt: parsed.created_at, content: parsed.content },
    app: { id: parsed.app, slug: parsed.app_slug },
    cancelRequestedAt: parsed.cancel_at,
    ...parseRow(whole, "revision", { id: parsed.id, document } as SqlRow),
  };
}

const timelineSchema = z.object({
  ...{ app: z.string(), app_slug: z.string(), slug: z.string(), revision: z.string(), updated_at: z.number() },
});

function toTimeline(row: SqlRow): TimelineRow {
  const parsed = parseRow(timelineSchema, "timeline", row);
  const { slug, revision, updated_at: updatedAt } = parsed;
  return { slug, revision, updatedAt, app: { id: parsed.app, slug: parsed.app_slug } };
}
