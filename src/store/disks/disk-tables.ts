/**
 * The tables of disks, version 3 of the state database.
 *
 * A disk is a chain of layers, each a file in `<data>/layers`. Only the top one, the `head`, is written to; the others
 * are `sealed` and never change. A file never moves: what was a head becomes a sealed layer by its record alone, and
 * every file is recorded (`making`, with its maker) before it is made. So what a killed process left can be told from
 * the tables.
 *
 * Volumes, snapshots, checkpoints and running sandboxes refer to layers. One that nothing refers to, directly or from
 * above, is garbage (garbage.ts); nobody counts.
 */

export const DISK_TABLE_NAMES = ["layers", "volumes", "snapshots", "checkpoints", "claims", "sandbox_disks"] as const;

export const DISK_TABLES = `
  CREATE TABLE layers (
    id           TEXT PRIMARY KEY,
    parent       TEXT REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    -- The image whose root file system lies below; of lowest layers only.
    base_image   TEXT,
    format       TEXT NOT NULL,
    size         INTEGER NOT NULL,
    state        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    maker_pid    INTEGER,
    maker_start  TEXT,
    -- Size and time of the sealed file, by which a later change is noticed.
    stamp_size   INTEGER,
    stamp_mtime  TEXT,
    -- The template whose disk this is a copy of.
    template_key TEXT UNIQUE
  ) STRICT;
  CREATE TABLE volumes (
    id          TEXT PRIMARY KEY,
    slug        TEXT NOT NULL,
    capacity    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    maker_pid   INTEGER,
    maker_start TEXT,
    head        TEXT NOT NULL REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    -- The head to be, while a snapshot of a volume in use is taken.
    next        TEXT REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    -- The capacity to be, while the volume grows.
    grow_to     INTEGER,
    -- The image that boots it; null where nothing does.
    image_id    TEXT,
    base_id     TEXT,
    base_slug   TEXT,
    removed_at  INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX volume_slugs ON volumes (slug) WHERE removed_at IS NULL;
  CREATE TABLE snapshots (
    id           TEXT PRIMARY KEY,
    slug         TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    state        TEXT NOT NULL,
    maker_pid    INTEGER,
    maker_start  TEXT,
    layer        TEXT NOT NULL REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    size         INTEGER NOT NULL,
    image_id     TEXT,
    -- What it was taken from, as it was called then.
    source_kind  TEXT NOT NULL,
    source_id    TEXT NOT NULL,
    source_name  TEXT,
    -- The snapshot that its source was made from.
    parent_id    TEXT,
    is_clean     INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE checkpoints (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    maker_pid   INTEGER,
    maker_start TEXT,
    layer       TEXT REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    directory   TEXT NOT NULL,
    spec        TEXT NOT NULL
  ) STRICT;
  -- Who uses a volume: a sandbox, or (with a pid) a process of the host. Counts while its holder lives.
  CREATE TABLE claims (
    volume_id  TEXT NOT NULL REFERENCES volumes (id) DEFERRABLE INITIALLY DEFERRED,
    holder     TEXT NOT NULL,
    access     TEXT NOT NULL,
    path       TEXT,
    claimed_at INTEGER NOT NULL,
    pid        INTEGER,
    start      TEXT,
    PRIMARY KEY (volume_id, holder)
  ) STRICT;
  -- The root disk of a sandbox that stands on layers, or has been snapshotted. Counts while the sandbox lives.
  CREATE TABLE sandbox_disks (
    sandbox_id   TEXT PRIMARY KEY,
    -- The sealed layer below its template's disk, or below its own.
    base         TEXT REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    -- Whether the template's disk lies between.
    has_template INTEGER NOT NULL,
    snapshot_id  TEXT,
    -- The layer it writes to; null while that is the file in its directory.
    head         TEXT REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED,
    next         TEXT REFERENCES layers (id) DEFERRABLE INITIALLY DEFERRED
  ) STRICT;
`;
