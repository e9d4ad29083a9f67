/**
 * The table of events, version 5 of the state database, and the triggers that fill it. What a statement changes in the
 * tables of sandboxes and disks is recorded by the same statement, so that an event is there exactly if its change is,
 * whoever made it: a supervisor, a command, or the command that cleans up after both.
 *
 * What is kept is bounded, in each `ring` by itself: processes come and go a thousand times as often as sandboxes. The
 * bounds keep the check of all pages that precedes each command (database.ts) to some milliseconds.
 */
import { MAX_EVENT_TEXT } from "../../protocol/event-record.ts";

/** `state`: sandboxes, disks, secrets. `process`: processes in sandboxes. */
export const RINGS = { state: 0, process: 1 } as const;
/** Events that each ring holds. */
export const RING_ROWS = { state: 10_000, process: 5_000 } as const;
/** Older ones go, `ms`. */
export const EVENT_AGE_MS = 30 * 24 * 60 * 60 * 1000;
/** Old ones that one new event takes with it. */
const OLD_AT_ONCE = 16;

const NOW = "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)";

const text = (expression: string): string => `substr(${expression}, 1, ${MAX_EVENT_TEXT})`;

interface Trigger {
  name: string;
  on: string;
  when?: string;
  /** SQL expressions. */
  type: string;
  sandbox?: string;
  /** Of the sandbox, as it is called now. */
  name_of?: string;
  subject?: [id: string, name: string];
  detail?: string;
}

function trigger({ name, on, when, type, sandbox, name_of, subject, detail }: Trigger): string {
  const columns = [NOW, type, sandbox ?? "NULL", name_of ?? "NULL", ...(subject ?? ["NULL", "NULL"])];
  return `
    CREATE TRIGGER event_${name} AFTER ${on} ${when === undefined ? "" : `WHEN ${when}`} BEGIN
      INSERT INTO events (time, type, sandbox, sandbox_name, subject, subject_name, detail)
      VALUES (${columns.join(", ")}, ${detail ?? "'{}'"});
    END;`;
}

const OWN = { sandbox: "NEW.id", name_of: "NEW.name" };
const REASON = `json_object('reason', NEW.reason, 'detail', ${text("NEW.detail")})`;

const SANDBOXES: readonly Trigger[] = [
  {
    ...{ name: "sandbox_created", on: "INSERT ON sandboxes", type: "'sandbox.created'", ...OWN },
    detail: `CASE WHEN json_valid(NEW.spec) THEN json_object(
      'image', ${text("json_extract(NEW.spec, '$.imageName')")},
      'memoryBytes', json_extract(NEW.spec, '$.memoryBytes'), 'cpus', json_extract(NEW.spec, '$.cpus')) ELSE '{}' END`,
  },
  {
    ...{ name: "sandbox_running", on: "UPDATE OF status ON sandboxes", type: "'sandbox.running'", ...OWN },
    when: "NEW.status = 'running' AND OLD.status <> 'running'",
    detail: "json_object('expiresAt', NEW.expires_at)",
  },
  {
    ...{ name: "sandbox_ended", on: "UPDATE OF status ON sandboxes", type: "'sandbox.' || NEW.status", ...OWN },
    when: "NEW.status IN ('stopping', 'stopped', 'failed') AND OLD.status <> NEW.status",
    detail: REASON,
  },
  {
    ...{ name: "sandbox_paused", on: "UPDATE OF paused ON sandboxes", ...OWN },
    type: "iif(NEW.paused, 'sandbox.paused', 'sandbox.resumed')",
    when: "OLD.status = 'running' AND NEW.status = 'running' AND OLD.paused <> NEW.paused",
  },
  {
    ...{ name: "sandbox_extended", on: "UPDATE OF expires_at ON sandboxes", type: "'sandbox.extended'", ...OWN },
    // The end is computed from two clocks: a call that changes nothing may move it by a millisecond.
    when: "OLD.status = 'running' AND NEW.status = 'running' AND NEW.expires_at > OLD.expires_at + 100",
    detail: "json_object('expiresAt', NEW.expires_at)",
  },
];

/** Events of something that is `making` until it is there, and `making` again while it is removed. */
function named(table: "snapshots" | "checkpoints", kind: string, name: string, detail: string): Trigger[] {
  const subject = (row: "NEW" | "OLD"): [string, string] => [`${row}.id`, `${row}.${name}`];
  return [
    {
      ...{ name: `${kind}_created`, on: `UPDATE OF state ON ${table}`, type: `'${kind}.created'`, detail },
      ...{ when: "OLD.state = 'making' AND NEW.state = 'ready'", subject: subject("NEW") },
    },
    {
      ...{ name: `${kind}_doomed`, on: `UPDATE OF state ON ${table}`, type: `'${kind}.removed'` },
      ...{ when: "OLD.state = 'ready' AND NEW.state <> 'ready'", subject: subject("NEW") },
    },
    {
      ...{ name: `${kind}_removed`, on: `DELETE ON ${table}`, type: `'${kind}.removed'` },
      ...{ when: "OLD.state = 'ready'", subject: subject("OLD") },
    },
  ];
}

const VOLUME: [string, string] = ["NEW.id", "NEW.slug"];

const VOLUMES: readonly Trigger[] = [
  {
    ...{ name: "volume_created", on: "UPDATE OF state ON volumes", type: "'volume.created'", subject: VOLUME },
    when: "OLD.state = 'making' AND NEW.state = 'ready'",
    detail: "json_object('capacityBytes', NEW.capacity)",
  },
  {
    ...{ name: "volume_grown", on: "UPDATE OF capacity ON volumes", type: "'volume.grown'", subject: VOLUME },
    when: "OLD.capacity <> NEW.capacity",
    detail: "json_object('capacityBytes', NEW.capacity)",
  },
  {
    ...{ name: "volume_removed", on: "UPDATE OF removed_at ON volumes", subject: VOLUME },
    type: "iif(NEW.removed_at IS NULL, 'volume.restored', 'volume.removed')",
    when: "(OLD.removed_at IS NULL) <> (NEW.removed_at IS NULL)",
  },
  {
    ...{ name: "volume_purged", on: "DELETE ON volumes", type: "'volume.purged'" },
    ...{ when: "OLD.state = 'ready'", subject: ["OLD.id", "OLD.slug"] },
  },
];

/** A process of the host that holds a volume (an export) has no path, and is no event. */
function claim(row: "NEW" | "OLD", on: string, type: string): Trigger {
  return {
    ...{ name: type.replace(".", "_"), on: `${on} ON claims`, type: `'${type}'`, when: `${row}.path IS NOT NULL` },
    sandbox: `${row}.holder`,
    name_of: `(SELECT name FROM sandboxes WHERE id = ${row}.holder)`,
    subject: [`${row}.volume_id`, `(SELECT slug FROM volumes WHERE id = ${row}.volume_id)`],
    detail: `json_object('path', ${text(`${row}.path`)}, 'access', ${row}.access)`,
  };
}

const SNAPSHOT_SOURCE = "json_object('source', NEW.source_kind, 'of', coalesce(NEW.source_name, NEW.source_id))";

const TRIGGERS: readonly Trigger[] = [
  ...SANDBOXES,
  ...VOLUMES,
  claim("NEW", "INSERT", "volume.attached"),
  claim("OLD", "DELETE", "volume.detached"),
  ...named("snapshots", "snapshot", "slug", SNAPSHOT_SOURCE),
  ...named("checkpoints", "checkpoint", "name", "'{}'"),
];

export const EVENT_TABLES = `
  CREATE TABLE events (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    time         INTEGER NOT NULL,
    type         TEXT NOT NULL,
    ring         INTEGER NOT NULL DEFAULT ${RINGS.state},
    -- Counts within the ring.
    nth          INTEGER,
    sandbox      TEXT,
    sandbox_name TEXT,
    subject      TEXT,
    subject_name TEXT,
    detail       TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX event_rings ON events (ring, nth);
  CREATE TRIGGER event_bounds AFTER INSERT ON events BEGIN
    UPDATE events SET nth = 1 + coalesce((SELECT max(nth) FROM events WHERE ring = NEW.ring), 0) WHERE seq = NEW.seq;
    DELETE FROM events WHERE ring = NEW.ring AND nth <= (SELECT nth FROM events WHERE seq = NEW.seq)
      - iif(NEW.ring = ${RINGS.process}, ${RING_ROWS.process}, ${RING_ROWS.state});
    DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ${OLD_AT_ONCE})
      AND time < NEW.time - ${EVENT_AGE_MS};
  END;
  ${TRIGGERS.map(trigger).join("")}
`;
