/**
 * One build at a time for each data directory. The lock is SQLite's on an empty database: the kernel drops it when the
 * process ends, however it ends, so there are no stale locks to judge.
 */
import { DatabaseSync } from "node:sqlite";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const RETRY_MS = 200;
const SQLITE_BUSY = 5;

/** Does the work while no other build goes on. `onWait` is called once when another one has to be waited for. */
export async function whileBuilding<T>(
  imagesPath: string,
  options: { signal?: AbortSignal | undefined; onWait?: () => void },
  work: () => Promise<T>,
): Promise<T> {
  const database = await lock(path.join(imagesPath, ".build.lock"), options);
  try {
    return await work();
  } finally {
    database.close();
  }
}

async function lock(
  lockPath: string,
  options: { signal?: AbortSignal | undefined; onWait?: () => void },
): Promise<DatabaseSync> {
  let told = false;
  for (;;) {
    options.signal?.throwIfAborted();
    const database = tryLock(lockPath);
    if (database !== null) return database;
    if (!told) options.onWait?.();
    told = true;
    await delay(RETRY_MS, undefined, { signal: options.signal });
  }
}

/** A connection that holds the lock until it is closed; `null` when another one does. */
function tryLock(lockPath: string): DatabaseSync | null {
  const database = new DatabaseSync(lockPath, { timeout: 0 });
  try {
    // Nothing is ever written to it, so no journal need lie beside it.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null;
    throw error;
  }
  return database;
}
