/** The apps of a fake runtime: the real ones, on a database in memory, whose sandboxes are the fake's. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { AppRuntime } from "../src/runtime/local/apps/instances.ts";
import type { InstanceLimits } from "../src/runtime/local/apps/instance-pool.ts";
import { LazyApps } from "../src/runtime/local/apps/lazy-apps.ts";
import type { Identifiers } from "../src/runtime/local/apps/slugs.ts";
import { openApps } from "../src/runtime/local/apps/open-apps.ts";
import { APP_TABLES } from "../src/store/apps/app-tables.ts";
import { FakeWarm } from "./fake-warm.ts";
import { KeyringError, type Keyring } from "../src/store/secrets/keyring.ts";

const NO_KEYRING: Keyring = {
  description: "no keyring",
  store: async () => Promise.reject(new KeyringError("there is no keyring")),
  lookup: async () => Promise.reject(new KeyringError("there is no keyring")),
  remove: async () => Promise.reject(new KeyringError("there is no keyring")),
};

/** Of all fakes of this process; goes with it. */
let root: string | undefined;

function makeRoot(): string {
  if (root !== undefined) return root;
  const made = mkdtempSync(path.join(tmpdir(), "sbx-fake-"));
  process.once("exit", () => rmSync(made, { recursive: true, force: true }));
  root = made;
  return made;
}

export class FakeApps extends LazyApps {
  /** Memories that are kept. */
  readonly warm: FakeWarm;
  /** To be set before the first call. */
  limits: Partial<InstanceLimits> = {};

  constructor(runtime: AppRuntime & { now: number }) {
    const warm = new FakeWarm(runtime);
    super(async () => {
      const directory = mkdtempSync(path.join(makeRoot(), "apps-"));
      return openApps({
        ...{ database: memoryDatabase(), dataPath: directory, statePath: directory, keyring: NO_KEYRING },
        ...{ runtime, warm, limits: this.limits, environment: {}, now: () => runtime.now, ids: countedIdentifiers() },
      });
    });
    this.warm = warm;
  }
}

/** One after the other: two fakes that are asked the same give the same. */
function countedIdentifiers(): Identifiers {
  const next = (
    (count: number) => () =>
      (count += 1)
  )(0);
  return {
    uuid: () => `00000000-0000-4000-8000-${String(next()).padStart(12, "0")}`,
    slug: (isFree) => {
      for (;;) {
        const slug = `calm-otter-${1000 + next()}`;
        if (isFree(slug)) return slug;
      }
    },
    revision: () => String(next()).padStart(12, "0"),
  };
}

export function memoryDatabase(): DatabaseSync {
  const database = new DatabaseSync(":memory:");
  database.exec("PRAGMA foreign_keys = ON; CREATE TABLE locks (name TEXT PRIMARY KEY, pid INTEGER, start TEXT);");
  database.exec(APP_TABLES);
  return database;
}
