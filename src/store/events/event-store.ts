/** Events in the state database. Those of its own tables come from triggers (event-tables.ts); others are added here. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { z } from "zod";
import {
  EVENT_TYPES,
  MAX_EVENT_LIST,
  MAX_EVENT_TEXT,
  type EventDetail,
  type EventRecord,
  type EventType,
} from "../../protocol/event-record.ts";
import { inTransaction, translateDatabaseError } from "../database.ts";
import { RINGS } from "./event-tables.ts";

export interface NewEvent {
  /** Epoch `ms`. */
  time: number;
  type: EventType;
  sandbox?: { id: string; name: string | null };
  subject?: { id: string; name: string };
  detail?: EventDetail;
}

export interface EventQuery {
  /** Only events behind this one. */
  after: number;
  /** Only these, if given. */
  types?: readonly EventType[] | undefined;
  /** Only those of this sandbox. */
  sandboxId?: string | undefined;
  /** Epoch `ms`, both inclusive. */
  since?: number | undefined;
  until?: number | undefined;
}

/** Events of one answer: a reader asks again. */
const PAGE_ROWS = 500;

export class EventStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Adds events in this order, all or none. @throws SbxError `disk_full`, `state_broken` */
  append(events: readonly NewEvent[]): void {
    const statement = this.#database.prepare(
      `INSERT INTO events (time, type, ring, sandbox, sandbox_name, subject, subject_name, detail)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    const add = (): void => {
      for (const event of events) statement.run(...toValues(event));
    };
    try {
      if (this.#database.isTransaction) add();
      else inTransaction(this.#database, add);
    } catch (error) {
      throw translateDatabaseError(error, this.#database.location() ?? "in memory");
    }
  }

  /** The next events in order, up to a page of them, and the number to go on behind. */
  read(query: EventQuery): { events: EventRecord[]; last: number } {
    const conditions = ["seq > ?", "seq <= ?"];
    const last = this.last();
    const values: SQLInputValue[] = [query.after, last];
    const add = (condition: string, ...more: SQLInputValue[]): void => {
      conditions.push(condition);
      values.push(...more);
    };
    if (query.sandboxId !== undefined) add("sandbox = ?", query.sandboxId);
    if (query.since !== undefined) add("time >= ?", query.since);
    if (query.until !== undefined) add("time <= ?", query.until);
    // What a later version added is not for this one.
    const types = query.types ?? EVENT_TYPES;
    add(`type IN (${types.map(() => "?").join(", ")})`, ...types);
    const statement = `SELECT * FROM events WHERE ${conditions.join(" AND ")} ORDER BY seq LIMIT ${PAGE_ROWS}`;
    const rows = this.#database.prepare(statement).all(...values);
    const events = rows.map(toEvent).filter((event) => event !== undefined);
    const isPage = rows.length === PAGE_ROWS;
    return { events, last: isPage ? Number(rows.at(-1)?.seq) : last };
  }

  /** The number of the latest event. */
  last(): number {
    return Number(this.#database.prepare("SELECT coalesce(max(seq), 0) AS last FROM events").get()?.last ?? 0);
  }

  /** The numbers of sandboxes that events tell of and that begin like this, or are called so; the latest first. */
  sandboxesNamed(ref: string): string[] {
    const statement = `SELECT sandbox AS id, max(seq) AS latest FROM events
      WHERE sandbox_name = ? OR sandbox = ? GROUP BY sandbox ORDER BY latest DESC`;
    return this.#database
      .prepare(statement)
      .all(ref, ref)
      .map(({ id }) => String(id));
  }
}

function toValues({ time, type, sandbox, subject, detail = {} }: NewEvent): SQLInputValue[] {
  const ring = type.startsWith("process.") ? RINGS.process : RINGS.state;
  const text = JSON.stringify(Object.fromEntries(Object.entries(detail).map(([key, value]) => [key, cut(value)])));
  const about = [sandbox?.id ?? null, sandbox?.name ?? null, subject?.id ?? null, subject?.name ?? null];
  return [Math.round(time), type, ring, ...about, text];
}

function cut(value: EventDetail[string]): EventDetail[string] {
  if (typeof value === "string") return value.slice(0, MAX_EVENT_TEXT);
  return Array.isArray(value) ? value.slice(0, MAX_EVENT_LIST).map((item) => item.slice(0, MAX_EVENT_TEXT)) : value;
}

const schema = z.object({
  seq: z.number(),
  time: z.number(),
  type: z.enum(EVENT_TYPES),
  sandbox: z.object({ id: z.string(), name: z.string().nullable() }).nullable(),
  subject: z.object({ id: z.string(), name: z.string() }).nullable(),
  detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())])),
});

/** One that does not parse is left out: the others still say what happened. */
function toEvent(row: Record<string, unknown>): EventRecord | undefined {
  const { seq, time, type, sandbox, sandbox_name: name, subject, subject_name: subjectName } = row;
  const parsed = schema.safeParse({
    ...{ seq, time, type, detail: parseDetail(row.detail) },
    sandbox: sandbox === null ? null : { id: sandbox, name },
    subject: subject === null ? null : { id: subject, name: subjectName ?? subject },
  });
  return parsed.success ? parsed.data : undefined;
}

function parseDetail(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return {}; // Damaged: the event still says what happened, and when.
  }
}
