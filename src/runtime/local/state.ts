/** The local state, opened: directories, database, and what a damaged database is rebuilt from. */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { identifyProcess, ownIdentity } from "../../host/process-identity.ts";
import { DAMAGED_SUFFIX, openDatabase, RECOVERY_LOCK, replaceDatabase } from "../../store/database.ts";
import { DiskStore } from "../../store/disks/disk-store.ts";
import { acquireLock, lockExists } from "../../store/locks.ts";
import { SandboxStore } from "../../store/sandbox-store.ts";
import { StagingStore } from "../../store/staging-store.ts";
import { SbxError } from "../errors.ts";
import type { SandboxInfo } from "../types.ts";
import { removeAbandonedCopies } from "./abandoned-copies.ts";
import type { DiskState } from "./disks/disk-context.ts";
import { LayerFiles } from "./disks/layer-files.ts";
import { removeLeftovers } from "./leftovers.ts";
import { prepareDirectories, statePaths, type StatePaths } from "./paths.ts";
import { reconcile } from "./reconcile.ts";
import { SANDBOX_ID } from "./sandbox-id.ts";
import { fetchInfo } from "./supervisor-client.ts";

const INFO_TIMEOUT_MS = 5_000;

export interface LocalState extends DiskState, Disposable {}

/** Opens the state and cleans up after whoever was killed. */
export async function openState(
  env: NodeJS.ProcessEnv = process.env,
  paths: StatePaths = statePaths(env),
): Promise<LocalState> {
  prepareDirectories(paths);
  const database = openSoundDatabase(paths.databasePath);
  const store = new SandboxStore(database);
  const staging = new StagingStore(database);
  const disks = new DiskStore(database, paths.cataloguePath);
  const parts = { paths, database, store, staging, disks, layerFiles: new LayerFiles(paths.layersPath) };
  try {
    if (lockExists(database, RECOVERY_LOCK)) {
      // Others wait here: to them the sandboxes would not exist yet.
      await using _lock = await acquireLock(database, RECOVERY_LOCK);
      await recover(store, paths);
    }
    if (disks.isEmpty()) disks.restore();
    removeLeftovers(paths);
    reconcile(store, Date.now());
    await removeAbandonedCopies(staging);
    if (!disks.isEmpty()) await (await import("./disks/settle.ts")).settleDisks(parts, Date.now());
  } catch (error) {
    database.close();
    throw error;
  }
  let open = true;
  return {
    ...parts,
    [Symbol.dispose]() {
      if (open) database.close();
      open = false;
    },
  };
}

/** Databases that were set aside because they were damaged. */
export function damagedDatabases({ databasePath }: StatePaths): string[] {
  const prefix = `${path.basename(databasePath)}${DAMAGED_SUFFIX}`;
  const names = readdirSync(path.dirname(databasePath)).filter((name) => name.startsWith(prefix));
  return names.map((name) => path.join(path.dirname(databasePath), name));
}

/** SQLite notices damage to its own structures only; rows that make no sense are damage as well. */
function openSoundDatabase(file: string): DatabaseSync {
  const database = openDatabase(file);
  if (isReadable(database)) return database;
  database.close();
  return replaceDatabase(file, isReadable);
}

function isReadable(database: DatabaseSync): boolean {
  try {
    new SandboxStore(database).list();
    return true;
  } catch (error) {
    if (error instanceof SbxError && error.code === "state_broken") return false;
    throw error;
  }
}

/** Finds the running sandboxes again by their sockets; directories that nobody serves are removed. */
async function recover(store: SandboxStore, paths: StatePaths): Promise<void> {
  for (const id of readdirSync(paths.sandboxesPath)) {
    if (!SANDBOX_ID.test(id) || store.get(id) !== undefined) continue;
    const directory = path.join(paths.sandboxesPath, id);
    const socket = socketPathOf(paths, id);
    const info = await fetchInfo(socket, INFO_TIMEOUT_MS).catch(() => undefined);
    if (info?.status === "running" || info?.status === "paused") adopt(store, info, directory, socket);
    else rmSync(directory, { recursive: true, force: true });
  }
}

function adopt(store: SandboxStore, info: SandboxInfo, directory: string, socket: string): void {
  const { id, name, createdAt, memoryBytes, cpus, diskBytes, labels } = info;
  const spec = {
    imageId: info.image.id,
    imageName: info.image.name,
    templateKey: "",
    memoryBytes,
    cpus,
    diskBytes,
    accelerator: info.accelerator ?? "",
    labels,
    session: info.expiresAt === null,
  };
  store.insert({ id, name, createdAt, spec, directory, socket, creator: ownIdentity() });
  const supervisor = info.supervisorPid === null ? null : identifyProcess(info.supervisorPid);
  store.transition(id, "running", {
    startedAt: info.startedAt,
    expiresAt: info.expiresAt,
    supervisor,
    vmPid: info.vmPid,
    isPaused: info.status === "paused",
  });
}

export function socketPathOf(paths: StatePaths, id: string): string {
  return path.join(paths.socketsPath, `${id}.sock`);
}
