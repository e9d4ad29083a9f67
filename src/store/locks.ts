/** Named locks between the processes of one user. A lock whose holder is gone belongs to whoever asks next. */
import { setTimeout as sleep } from "node:timers/promises";
import type { DatabaseSync } from "node:sqlite";
import { isAlive, ownIdentity } from "../host/process-identity.ts";
import { inTransaction } from "./database.ts";

/** Between two looks at a lock that another process holds, `ms`. */
const POLL_MS = 50;

export interface HeldLock extends AsyncDisposable {
  readonly name: string;
}

/** Waits for the lock. `onWait` is called once if another process has it, with that process's pid. */
export async function acquireLock(
  database: DatabaseSync,
  name: string,
  options: { signal?: AbortSignal; onWait?: (pid: number) => void } = {},
): Promise<HeldLock> {
  let waiting = false;
  for (;;) {
    const holder = tryAcquire(database, name);
    if (holder === null) break;
    if (!waiting) options.onWait?.(holder);
    waiting = true;
    await sleep(POLL_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
  return heldLock(database, name);
}

/** Takes the lock if nobody has it. */
export function tryLock(database: DatabaseSync, name: string): HeldLock | null {
  return tryAcquire(database, name) === null ? heldLock(database, name) : null;
}

function heldLock(database: DatabaseSync, name: string): HeldLock {
  let released = false;
  return {
    name,
    async [Symbol.asyncDispose]() {
      if (released) return;
      released = true;
      const own = ownIdentity();
      database.prepare("DELETE FROM locks WHERE name = ? AND pid = ? AND start = ?").run(name, own.pid, own.startTicks);
    },
  };
}

/** Whether somebody holds the lock, or held it when it died. */
export function lockExists(database: DatabaseSync, name: string): boolean {
  return database.prepare("SELECT 1 FROM locks WHERE name = ?").get(name) !== undefined;
}

/** Takes the lock and returns null, or returns the pid that holds it. */
function tryAcquire(database: DatabaseSync, name: string): number | null {
  return inTransaction(database, () => {
    const row = database.prepare("SELECT pid, start FROM locks WHERE name = ?").get(name);
    const holder = row === undefined ? null : { pid: Number(row.pid), startTicks: String(row.start) };
    const taken = holder !== null && isAlive(holder);
    if (!taken) {
      const own = ownIdentity();
      database
        .prepare("INSERT OR REPLACE INTO locks (name, pid, start) VALUES (?, ?, ?)")
        .run(name, own.pid, own.startTicks);
    }
    return taken ? holder.pid : null;
  });
}
