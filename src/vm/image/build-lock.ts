/**
 * One build at a time for each data directory. The lock is SQLite's on an empty database: the kernel drops it when the
 * process ends, however it ends, so there are no stale locks to judge.
 */
import { DatabaseSync } from "node:sqlite";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const RETRY_MS = 200;
const SQLITE_BUSY = 5;

/** Waits for the lock. `onWait` is called once when another process has it. */
export async function lockBuilds(
  imagesPath: string,
  options: { signal?: AbortSignal | undefined; onWait?: () => void } = {},
): Promise<Disposable> {
  let told = false;
  for (;;) {
    options.signal?.throwIfAborted();
    const lock = tryLock(path.join(imagesPath, ".build.lock"));
    if (lock !== null) return lock;
    if (!told) options.onWait?.();
    told = true;
    await delay(RETRY_MS, undefined, { signal: options.signal });
  }
}

function tryLock(lockPath: string): Disposable | null {
  const database = new DatabaseSync(lockPath, { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null;
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}
