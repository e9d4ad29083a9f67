/** Usage in its database: counters go in, amounts for spans of time come out. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { addAmounts, HOUR_MS, NOTHING, type SandboxCounters } from "../../metering/amounts.ts";
import type { MeteredUsage } from "../../metering/metered-usage.ts";
import { inTransaction } from "../database.ts";

/** What was used longer ago is forgotten, `ms`: thirteen months can be compared. */
const KEPT_MS = 400 * 24 * HOUR_MS;

/** Counters of a sandbox at one moment. */
export interface SandboxSample {
  id: string;
  name: string | null;
  labels: Readonly<Record<string, string>>;
  /** The application that it is an instance of. */
  app: string | null;
  /** Epoch `ms`. */
  at: number;
  counters: SandboxCounters;
}

/** What a volume or snapshot takes of the disk at one moment. */
export interface StorageSample {
  kind: "volume" | "snapshot";
  id: string;
  name: string;
  /** Epoch `ms`. */
  createdAt: number;
  bytes: number;
}

export interface ReadUsage {
  /** Epoch `ms`; a sandbox's hours count from the beginning of the one that this is in. */
  since: number;
  until: number;
  /** Length of the buckets, `ms`, a multiple of an hour; one for all if absent. */
  bucketMs?: number;
}

const meterSchema = z.object({ cpu_ms: z.number(), memory: z.number(), sent: z.number(), received: z.number() });
const spanSchema = z.object({ since: z.number(), until: z.number(), bytes: z.number(), last_bytes: z.number() });
const labelsSchema = z.record(z.string(), z.string());

const SUBJECT = { kind: z.enum(["sandbox", "volume", "snapshot"]), id: z.string() };
const NAMES = { name: z.string().nullable(), labels: z.string().nullable(), app: z.string().nullable() };
const hourSchema = z.object({ ...SUBJECT, ...NAMES, hour: z.number(), ...meterSchema.shape });
const namedSpanSchema = z.object({ ...SUBJECT, ...NAMES, since: z.number(), until: z.number(), bytes: z.number() });

export class MeterStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Adds what a sandbox has used since its counters were last here. The same counters again add nothing. */
  settle(sample: SandboxSample): void {
    inTransaction(this.#database, () => {
      const { id, counters } = sample;
      const row = this.#database.prepare("SELECT * FROM meters WHERE kind = 'sandbox' AND id = ?").get(id);
      const before = row === undefined ? { cpu_ms: 0, memory: 0, sent: 0, received: 0 } : meterSchema.parse(row);
      const now = {
        cpu_ms: Math.max(before.cpu_ms, counters.cpuMs),
        memory: Math.max(before.memory, counters.memoryByteHours),
        sent: Math.max(before.sent, counters.sentBytes),
        received: Math.max(before.received, counters.receivedBytes),
      };
      this.#database
        .prepare(
          `INSERT INTO meters (kind, id, name, labels, app, metered_at, cpu_ms, memory, sent, received)
           VALUES ('sandbox', ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (kind, id) DO UPDATE SET metered_at = max(metered_at, excluded.metered_at), name = excluded.name,
             labels = excluded.labels, app = excluded.app, cpu_ms = excluded.cpu_ms, memory = excluded.memory,
             sent = excluded.sent, received = excluded.received`,
        )
        .run(id, sample.name, JSON.stringify(sample.labels), sample.app, sample.at, ...Object.values(now));
      this.#database
        .prepare(
          `INSERT INTO hours (hour, sandbox, cpu_ms, memory, sent, received) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (hour, sandbox) DO UPDATE SET cpu_ms = cpu_ms + excluded.cpu_ms,
             memory = memory + excluded.memory, sent = sent + excluded.sent, received = received + excluded.received`,
        )
        .run(
          Math.floor(sample.at / HOUR_MS),
          id,
          now.cpu_ms - before.cpu_ms,
          now.memory - before.memory,
          now.sent - before.sent,
          now.received - before.received,
        );
    });
  }

  /**
   * Records what volumes and snapshots take. Between two calls each is taken to have had what it had at the first.
   *
   * @param samples all that there are: one that is not among them is there no more
   * @param at epoch `ms`
   */
  measureStorage(samples: readonly StorageSample[], at: number): void {
    inTransaction(this.#database, () => {
      for (const sample of samples) this.#measure(sample, at);
      const there = new Set(samples.map(({ kind, id }) => `${kind} ${id}`));
      const open = this.#database.prepare("SELECT kind, id FROM spans WHERE is_open = 1").all();
      for (const { kind, id } of open) {
        if (there.has(`${String(kind)} ${String(id)}`)) continue;
        this.#database
          .prepare("UPDATE spans SET is_open = 0 WHERE kind = ? AND id = ? AND is_open = 1")
          .run(kind ?? null, id ?? null);
      }
    });
  }

  /** What was used in a span of time, of each thing that used anything. */
  read(query: ReadUsage): MeteredUsage[] {
    return [...this.#readHours(query), ...this.#readSpans(query)];
  }

  /** Drops what is too old. @param now epoch `ms` */
  forget(now: number): void {
    const before = now - KEPT_MS;
    this.#database.prepare("DELETE FROM hours WHERE hour < ?").run(Math.floor(before / HOUR_MS));
    this.#database.prepare("DELETE FROM spans WHERE until < ?").run(before);
    this.#database.prepare("DELETE FROM meters WHERE metered_at < ?").run(before);
  }

  #measure({ kind, id, name, createdAt, bytes }: StorageSample, at: number): void {
    this.#database
      .prepare(
        `INSERT INTO meters (kind, id, name, metered_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name, metered_at = excluded.metered_at`,
      )
      .run(kind, id, name, at);
    const row = this.#database
      .prepare("SELECT * FROM spans WHERE kind = ? AND id = ? AND is_open = 1 ORDER BY since DESC LIMIT 1")
      .get(kind, id);
    const insert = this.#database.prepare(
      "INSERT OR REPLACE INTO spans (kind, id, since, until, bytes, last_bytes, is_open) VALUES (?, ?, ?, ?, ?, ?, 1)",
    );
    if (row === undefined) {
      // Made since the last look; or back after it was removed, when nobody knows since when.
      const last = this.#database.prepare("SELECT 1 FROM spans WHERE kind = ? AND id = ? LIMIT 1").get(kind, id);
      insert.run(kind, id, last === undefined ? Math.min(createdAt, at) : at, at, bytes, bytes);
      return;
    }
    const span = spanSchema.parse(row);
    if (at <= span.until) return;
    const mean = (span.bytes * (span.until - span.since) + span.last_bytes * (at - span.until)) / (at - span.since);
    // What changes all the time has one span an hour, with its mean.
    const goesOn = bytes === span.bytes || Math.floor(span.since / HOUR_MS) === Math.floor(at / HOUR_MS);
    this.#database
      .prepare(
        "UPDATE spans SET until = ?, bytes = ?, last_bytes = ?, is_open = ? WHERE kind = ? AND id = ? AND since = ?",
      )
      .run(at, mean, bytes, Number(goesOn), kind, id, span.since);
    if (!goesOn) insert.run(kind, id, at, at, bytes, bytes);
  }

  #readHours({ since, until, bucketMs }: ReadUsage): MeteredUsage[] {
    const rows = this.#database
      .prepare(
        `SELECT 'sandbox' AS kind, sandbox AS id, name, labels, app, hour,
           hours.cpu_ms, hours.memory, hours.sent, hours.received
         FROM hours LEFT JOIN meters ON meters.kind = 'sandbox' AND meters.id = sandbox
         WHERE hour >= ? AND hour * ${HOUR_MS} < ? ORDER BY hour, id`,
      )
      .all(Math.floor(since / HOUR_MS), until);
    return merge(
      rows.map((row) => {
        const { hour, cpu_ms: cpuMs, memory, sent, received, ...subject } = hourSchema.parse(row);
        const bucket = bucketMs === undefined ? since : Math.floor((hour * HOUR_MS) / bucketMs) * bucketMs;
        const amounts = { ...NOTHING, cpuMs, memoryByteHours: memory, sentBytes: sent, receivedBytes: received };
        return { ...subject, labels: readLabels(subject.labels), bucket, amounts };
      }),
    );
  }

  #readSpans({ since, until, bucketMs }: ReadUsage): MeteredUsage[] {
    const rows = this.#database
      .prepare(
        `SELECT spans.kind, spans.id, name, labels, app, since, until, bytes
         FROM spans LEFT JOIN meters ON meters.kind = spans.kind AND meters.id = spans.id
         WHERE until > ? AND since < ? ORDER BY since, spans.id`,
      )
      .all(since, until);
    const pieces = rows.flatMap((row) => {
      const { since: from, until: to, bytes, ...subject } = namedSpanSchema.parse(row);
      return split(Math.max(from, since), Math.min(to, until), bucketMs).map(([begin, end]) => ({
        ...subject,
        labels: readLabels(subject.labels),
        bucket: bucketMs === undefined ? since : Math.floor(begin / bucketMs) * bucketMs,
        amounts: { ...NOTHING, storageByteHours: (bytes * (end - begin)) / HOUR_MS },
      }));
    });
    return merge(pieces);
  }
}

/** A span of time in pieces that lie in one bucket each. */
function split(from: number, to: number, bucketMs: number | undefined): [number, number][] {
  if (bucketMs === undefined) return [[from, to]];
  const pieces: [number, number][] = [];
  for (let begin = from; begin < to;) {
    const end = Math.min(to, (Math.floor(begin / bucketMs) + 1) * bucketMs);
    pieces.push([begin, end]);
    begin = end;
  }
  return pieces;
}

function merge(rows: readonly MeteredUsage[]): MeteredUsage[] {
  const merged = new Map<string, MeteredUsage>();
  for (const row of rows) {
    const key = `${row.kind} ${row.id} ${row.bucket}`;
    const known = merged.get(key);
    merged.set(key, known === undefined ? row : { ...row, amounts: addAmounts(known.amounts, row.amounts) });
  }
  return [...merged.values()];
}

function readLabels(text: string | null): Record<string, string> {
  return text === null ? {} : labelsSchema.parse(JSON.parse(text));
}
