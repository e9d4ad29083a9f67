/**
 * The tables of apps, version 6 of the state database. What is looked for is in columns, the rest of each record in
 * `document`, which is JSON and parsed as a whole. Files and build logs of revisions are in directories.
 *
 * A revision that is not over names its maker: one whose maker is gone has failed.
 */
export const APP_TABLE_NAMES = ["apps", "app_layers", "app_layer_refs", "revisions", "timelines", "app_keys"] as const;

export const APP_TABLES = `
  CREATE TABLE apps (
    id         TEXT PRIMARY KEY,
    slug       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    document   TEXT NOT NULL
  ) STRICT;
  CREATE TABLE app_layers (
    id         TEXT PRIMARY KEY,
    slug       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    document   TEXT NOT NULL
  ) STRICT;
  -- Layers of an app or of a layer, in the order of precedence.
  CREATE TABLE app_layer_refs (
    owner    TEXT NOT NULL,
    position INTEGER NOT NULL,
    layer    TEXT NOT NULL REFERENCES app_layers (id),
    PRIMARY KEY (owner, position)
  ) STRICT;
  CREATE INDEX layer_users ON app_layer_refs (layer);
  CREATE TABLE revisions (
    id          TEXT PRIMARY KEY,
    app         TEXT NOT NULL REFERENCES apps (id),
    status      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    -- SHA-256 of its files, once they are stored.
    content     TEXT,
    maker_pid   INTEGER,
    maker_start TEXT,
    cancel_at   INTEGER,
    document    TEXT NOT NULL
  ) STRICT;
  CREATE INDEX revisions_of_apps ON revisions (app, created_at);
  CREATE TABLE timelines (
    app        TEXT NOT NULL REFERENCES apps (id),
    slug       TEXT NOT NULL,
    revision   TEXT NOT NULL REFERENCES revisions (id),
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (app, slug)
  ) STRICT;
  -- Which key secret variables are sealed with; no key itself.
  CREATE TABLE app_keys (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    record TEXT NOT NULL
  ) STRICT;
`;
