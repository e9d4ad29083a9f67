/**
 * What a home still has: processes, sockets, disk layers, live rows, unfinished builds. A process belongs to a home if
 * its command line, an open file or its mounts name it (a jailed QEMU sees other paths than we do).
 */
import { existsSync } from "node:fs";
import { readdir, readFile, readlink } from "node:fs/promises";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { StatePaths } from "../../../src/runtime/local/paths.ts";

const POLL_MS = 50;
/** A machine under load takes its time; nothing here waits that long when all is well, `ms`. */
const PATIENCE_MS = 30_000;

/** What runs with mounts of its own making. */
const JAILED = /^\S*(?:bwrap|setpriv|qemu-system-\w+) /;

export interface FoundProcess {
  pid: number;
  role: "supervisor" | "jail" | "vm" | "other";
  command: string;
}

interface Home {
  readonly path: string;
  readonly paths: StatePaths;
}

/** Processes other than this one that have to do with one of these paths. */
export async function processesOf(markers: readonly string[]): Promise<FoundProcess[]> {
  const found: FoundProcess[] = [];
  const ownMounts = await readlink("/proc/self/ns/mnt");
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number)) {
    if (pid === process.pid) continue;
    const traces = await tracesOf(pid, ownMounts);
    if (traces === null || !markers.some((marker) => traces.text.includes(marker))) continue;
    found.push({ pid, role: roleOf(traces.command), command: traces.command.slice(0, 60) });
  }
  return found;
}

async function tracesOf(pid: number, ownMounts: string): Promise<{ command: string; text: string } | null> {
  const directory = `/proc/${pid}`;
  try {
    const command = (await readFile(`${directory}/cmdline`, "utf8")).replaceAll("\0", " ");
    if (command === "") return null; // a kernel thread or a process that is dead already
    const names = await readdir(`${directory}/fd`);
    const files = await Promise.all(names.map((fd) => readlink(`${directory}/fd/${fd}`).catch(() => "")));
    // Other programs' namespaces inherit whatever the machine had mounted when they began.
    const elsewhere = JAILED.test(command) && (await readlink(`${directory}/ns/mnt`)) !== ownMounts;
    const mounts = elsewhere ? await readFile(`${directory}/mountinfo`, "utf8") : "";
    return { command, text: [command, ...files, unescapeMounts(mounts)].join("\n") };
  } catch {
    return null; // It ended meanwhile, or belongs to somebody else.
  }
}

/** mountinfo writes blanks and backslashes as octal numbers (proc(5)). */
function unescapeMounts(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function roleOf(command: string): FoundProcess["role"] {
  if (command.startsWith("sbx-supervisor") || /supervisor(\/main\.ts|\.js)\b/.test(command)) return "supervisor";
  if (/^\S*bwrap /.test(command)) return "jail";
  return /^\S*qemu-system/.test(command) ? "vm" : "other";
}

/** All that is left of sandboxes other than `alive`; empty when a home is clean. */
export async function leftoversOf(home: Home, alive: readonly string[] = []): Promise<string[]> {
  const { paths } = home;
  const expected = (text: string): boolean => alive.some((id) => text.includes(id));
  const left: string[] = [];
  const living = alive.length === 0 ? [] : await processesOf(alive);
  for (const { pid, command } of await processesOf([home.path])) {
    if (!living.some((other) => other.pid === pid)) left.push(`process ${pid}: ${command}`);
  }
  for (const name of await entriesOf(paths.socketsPath)) if (!expected(name)) left.push(`socket ${name}`);
  for (const id of await entriesOf(paths.sandboxesPath)) {
    if (!expected(id) && existsSync(path.join(paths.sandboxesPath, id, "disk.qcow2"))) left.push(`disk layer of ${id}`);
  }
  for (const name of await entriesOf(paths.templatesPath)) if (name.startsWith(".")) left.push(`template ${name}`);
  for (const name of await entriesOf(paths.statePath)) if (name.startsWith("probe-")) left.push(`probe ${name}`);
  for (const row of readRows(paths.databasePath)) if (!expected(row)) left.push(`row ${row}`);
  return left;
}

/** Live sandboxes, held locks and copies that did not end, straight from the database. A lock whose holder is gone is held by nobody. */
function readRows(file: string): string[] {
  if (!existsSync(file)) return [];
  const database = new DatabaseSync(file, { timeout: 10_000 });
  try {
    const live = database.prepare("SELECT id, status FROM sandboxes WHERE status NOT IN ('stopped', 'failed')").all();
    const all = database.prepare("SELECT name, pid FROM locks").all();
    const locks = all.filter((row) => existsSync(`/proc/${String(row.pid)}`));
    const copies = database.prepare("SELECT path FROM staging").all();
    return [
      ...live.map((row) => `${String(row.status)} ${String(row.id)}`),
      ...locks.map((row) => `lock ${String(row.name)} of ${String(row.pid)}`),
      ...copies.map((row) => `unfinished copy ${String(row.path)}`),
    ];
  } finally {
    database.close();
  }
}

async function entriesOf(directory: string): Promise<string[]> {
  return existsSync(directory) ? readdir(directory) : [];
}

/** Waits until nothing is left but what belongs to `alive`; `look` runs before each look, as a user's next command. */
export async function untilClean(
  home: Home,
  options: { alive?: readonly string[]; look?: () => Promise<unknown> } = {},
): Promise<void> {
  await eventually(async () => {
    await options.look?.();
    const left = await leftoversOf(home, options.alive);
    if (left.length > 0) throw new Error(`left over in ${home.path}:\n  ${left.join("\n  ")}`);
  });
}

/** Waits until `check` no longer throws; throws its last error when patience ends. */
export async function eventually(check: () => unknown, patienceMs = PATIENCE_MS): Promise<void> {
  const end = performance.now() + patienceMs;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(POLL_MS);
    }
  }
}

/** Kills all that belongs to a home, until nothing does. */
export async function killAll(home: Home): Promise<void> {
  await eventually(async () => {
    const found = await processesOf([home.path]);
    for (const { pid } of found) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    if (found.length > 0) throw new Error(`still there: ${found.map(({ command }) => command).join("; ")}`);
  });
}
