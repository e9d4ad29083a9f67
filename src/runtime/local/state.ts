/** The local state, opened: directories, database, and what a damaged database is rebuilt from. */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { identifyProcess, ownIdentity } from "../../host/process-identity.ts";
import { openDatabase } from "../../store/database.ts";
import { SandboxStore } from "../../store/sandbox-store.ts";
import type { SandboxInfo } from "../types.ts";
import { prepareDirectories, statePaths, type StatePaths } from "./paths.ts";
import { reconcile } from "./reconcile.ts";
import { SANDBOX_ID } from "./sandbox-id.ts";
import { fetchInfo } from "./supervisor-client.ts";

const INFO_TIMEOUT_MS = 5_000;

export interface LocalState extends Disposable {
  readonly paths: StatePaths;
  readonly database: DatabaseSync;
  readonly store: SandboxStore;
  /** Where a damaged database was put, if this start found one. */
  readonly setAside: string | null;
}

/** Opens the state and cleans up after whoever was killed. */
export async function openState(env: NodeJS.ProcessEnv = process.env): Promise<LocalState> {
  const paths = statePaths(env);
  prepareDirectories(paths);
  const { database, setAside } = openDatabase(paths.databasePath);
  const store = new SandboxStore(database);
  if (setAside !== null) await recover(store, paths);
  reconcile(store, Date.now());
  let open = true;
  return {
    paths,
    database,
    store,
    setAside,
    [Symbol.dispose]() {
      if (open) database.close();
      open = false;
    },
  };
}

/** Finds the running sandboxes again by their sockets; directories that nobody serves are removed. */
async function recover(store: SandboxStore, paths: StatePaths): Promise<void> {
  for (const id of readdirSync(paths.sandboxesPath)) {
    if (!SANDBOX_ID.test(id) || store.get(id) !== undefined) continue;
    const directory = path.join(paths.sandboxesPath, id);
    const socket = socketPathOf(paths, id);
    const info = await fetchInfo(socket, INFO_TIMEOUT_MS).catch(() => undefined);
    if (info?.status === "running") adopt(store, info, directory, socket);
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
  });
}

export function socketPathOf(paths: StatePaths, id: string): string {
  return path.join(paths.socketsPath, `${id}.sock`);
}
