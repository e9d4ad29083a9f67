/** Puts the parts of the apps together. */
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { SealedValues } from "../../../store/apps/sealed-values.ts";
import type { CallerEnvironment } from "../../types.ts";
import { acquireLock } from "../../../store/locks.ts";
import type { Keyring } from "../../../store/secrets/keyring.ts";
import { openAppContext } from "./app-context.ts";
import { Builder } from "./builder.ts";
import { BuildLogs } from "./build-log.ts";
import { ContentStore } from "./content-store.ts";
import { Instances, type AppRuntime } from "./instances.ts";
import type { InstanceLimits } from "./instance-pool.ts";
import { LocalApps } from "./local-apps.ts";
import { LocalRevisions } from "./local-revisions.ts";
import { RANDOM_IDENTIFIERS, type Identifiers } from "./slugs.ts";
import type { WarmInstances } from "./warm-instances.ts";

const CONTENT_LOCK = "app-contents";
const KEY_LOCK = "app-key";

export interface OpenAppsOptions {
  database: DatabaseSync;
  /** For files and build logs. */
  dataPath: string;
  /** For the key of secret variables, where there is no keyring. */
  statePath: string;
  keyring: Keyring;
  runtime: AppRuntime;
  /** That of {@link CallerEnvironment}, for all sandboxes of revisions. */
  environment: NonNullable<CallerEnvironment["environment"]>;
  /** Keeps the memory of instances. */
  warm: WarmInstances;
  limits?: Partial<InstanceLimits> | undefined;
  now: () => number;
  ids?: Identifiers;
}

export interface OpenApps extends AsyncDisposable {
  readonly apps: LocalApps;
}

export function openApps(options: OpenAppsOptions): OpenApps {
  const { database, dataPath, statePath, keyring, runtime, environment, now } = options;
  const { warm, limits, ids = RANDOM_IDENTIFIERS } = options;
  const lock = async (name: string, signal?: AbortSignal): Promise<AsyncDisposable> =>
    acquireLock(database, name, signal === undefined ? {} : { signal });
  const sealed = new SealedValues({ database, directory: statePath, keyring, lock: async () => lock(KEY_LOCK) });
  const context = openAppContext(database, { sealed, ids, now });
  const directory = path.join(dataPath, "apps");
  const logs = new BuildLogs(path.join(directory, "logs"));
  const contents = new ContentStore({
    directory: path.join(directory, "contents"),
    lock: async () => lock(CONTENT_LOCK),
    isUsed: (sha256) => context.revisions.isUsed(sha256),
  });
  const instances = new Instances({ runtime, environment, lock, warm, limits });
  const builder = new Builder({ context, runtime, environment, logs, contents, instances });
  const revisions = new LocalRevisions({ context, logs, contents, worker: builder });
  return {
    apps: new LocalApps(context, revisions, runtime),
    async [Symbol.asyncDispose]() {
      await builder[Symbol.asyncDispose]();
      await instances[Symbol.asyncDispose]();
    },
  };
}
