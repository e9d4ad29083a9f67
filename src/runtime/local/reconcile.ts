/**
 * Cleaning up after whoever was killed. Every resource of a sandbox is recorded before it is made (the row in the
 * database names its directory and socket), so looking at rows without a living process is enough. Runs at the start
 * of each command and costs one query when all is well.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { identifyProcess, isAlive } from "../../host/process-identity.ts";
import { isLive } from "../../store/lifecycle.ts";
import type { SandboxRow, SandboxStore } from "../../store/sandbox-store.ts";
import { layerPath } from "../../vm/restore-options.ts";
import type { StopReason } from "../types.ts";
import { countLost } from "./metering/count-sandbox.ts";
import { readFailure } from "./failure-record.ts";

/** How long a stopped sandbox stays listed, `ms`, and how many of them. */
const TOMBSTONE_MS = 24 * 60 * 60 * 1000;
const MAX_TOMBSTONES = 100;
/** A machine that was killed ends when the system call that it is in has, `ms`. */
const LAST_WRITES_MS = 5_000;
/** Nobody wakes who waits on it: a pause in a synchronous module. */
const PAUSE = new Int32Array(new SharedArrayBuffer(4));

/** Ends what has no supervisor, forgets what is old. Returns the ids that were ended. */
export function reconcile(store: SandboxStore, now: number): string[] {
  const ended: string[] = [];
  for (const row of store.listLive()) {
    if (hasLivingProcess(row)) continue;
    reclaim(store, row);
    const { to, reason, detail } = explainEnd(row);
    if (store.transition(row.id, to, { stoppedAt: now, reason, detail, vmPid: null })) ended.push(row.id);
  }
  forgetOld(store, now);
  return ended;
}

/** The row as it is now: of a sandbox that lost its supervisor while somebody was talking to it, its end. */
export function refresh(store: SandboxStore, row: SandboxRow, now: number): SandboxRow {
  if (!isLive(row.status) || hasLivingProcess(row)) return row;
  reconcile(store, now);
  return store.get(row.id) ?? row;
}

/** What is known of the end of a sandbox that nobody looked after. */
function explainEnd(row: SandboxRow): { to: "failed" | "stopped"; reason: StopReason; detail: string } {
  const who = row.supervisor === null ? "the command that made it was ended" : "its supervisor was ended";
  const starting = row.status === "creating";
  const detail = row.detail ?? (starting ? readFailure(row.directory)?.message : undefined) ?? who;
  return { to: starting ? "failed" : "stopped", reason: row.reason ?? (starting ? "start_failed" : "crashed"), detail };
}

/** The supervisor is recorded in the moment it is started; before that, its creator stands for the sandbox. */
function hasLivingProcess(row: SandboxRow): boolean {
  return isAlive(row.supervisor ?? row.creator);
}

/** Removes what a dead sandbox left: its machine, its layer, its socket. Logs stay until it is forgotten. */
export function reclaim(store: SandboxStore, row: SandboxRow): void {
  killStrayMachine(row);
  countLost(store.path, row);
  rmSync(row.socket, { force: true });
  rmSync(layerPath(row.directory), { force: true });
}

/**
 * The machine dies with its supervisor, but not on every host and not in its first milliseconds: bubblewrap's inner
 * process can miss the outer one's death. What is left has the sandbox's id for its name.
 */
function killStrayMachine(row: SandboxRow): void {
  const killed: number[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
      // The first words that sbx gives QEMU: somebody's own tool may be given the id, too.
      if (!words.includes("-nodefaults") || !words.includes("-no-user-config")) continue;
      if (words[words.indexOf("-name") + 1] !== row.id) continue;
      process.kill(Number(entry), "SIGKILL");
      killed.push(Number(entry));
    } catch {
      continue; // Gone meanwhile, or somebody else's.
    }
  }
  // Its volumes are free when the sandbox is over, and until it is gone it may still write to them.
  const deadline = performance.now() + LAST_WRITES_MS;
  while (killed.some((pid) => identifyProcess(pid) !== null) && performance.now() < deadline) {
    Atomics.wait(PAUSE, 0, 0, 5);
  }
}

function forgetOld(store: SandboxStore, now: number): void {
  const tombstones = store.list().filter(({ status }) => !isLive(status));
  tombstones.forEach((row, index) => {
    if (index < MAX_TOMBSTONES && now - (row.stoppedAt ?? row.createdAt) < TOMBSTONE_MS) return;
    rmSync(row.directory, { recursive: true, force: true });
    store.forget(row.id);
  });
}
