/**
 * Where a copy's files are while they are incomplete: a directory of its own in the destination, so that a rename
 * puts each in its place at once and whoever was killed leaves one name behind that can be recognised and removed.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { statFields } from "../../host/stat-fields.ts";
import { type DirectoryHandle, openChild } from "./directory-handle.ts";
import { errnoOf } from "./host-errors.ts";

/** `.sbx-copy-<pid>-<start time>-<six characters>`. */
const NAME = /^\.sbx-copy-(\d{1,10})-(\d{1,20})-[A-Za-z0-9]{6}$/;
const TEMPORARY = /^\d{1,15}$/;

export class Staging implements Disposable {
  /** Path of the directory, for the record of what has to be removed if this process does not. */
  readonly path: string;
  readonly #parent: DirectoryHandle;
  readonly #component: string;
  readonly #handle: DirectoryHandle;
  /** What is in the making: one thing at a time. */
  #current: string | undefined;
  #count = 0;

  /**
   * @param onStaging told the directory before it is there
   * @throws the system's error if the destination cannot be written to
   */
  constructor(root: DirectoryHandle, rootPath: string, onStaging?: (path: string) => void) {
    this.#parent = root;
    this.#component = `.sbx-copy-${process.pid}-${startTimeOf(process.pid) ?? "0"}-${randomBytes(3).toString("hex")}`;
    this.path = join(rootPath, this.#component);
    onStaging?.(this.path);
    mkdirSync(root.child(this.#component), { mode: 0o700 });
    this.#handle = openChild(root, this.#component);
  }

  /** A path in it that nothing has yet. */
  next(): string | Buffer {
    this.discard();
    this.#current = String(this.#count++);
    return this.#handle.child(this.#current);
  }

  /** What {@link next} gave out last has been moved away. */
  release(): void {
    this.#current = undefined;
  }

  /** What {@link next} gave out last is of no use. */
  discard(): void {
    if (this.#current === undefined) return;
    const path = this.#handle.child(this.#current);
    this.#current = undefined;
    try {
      unlinkSync(path);
    } catch (error) {
      // It may have been given out and never made.
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }

  /** Removes the directory with whatever is left in it. */
  [Symbol.dispose](): void {
    this.discard();
    this.#handle[Symbol.dispose]();
    rmdirSync(this.#parent.child(this.#component));
  }
}

/**
 * Removes what copies of processes that are gone have left in a directory. Only names and contents that a copy makes
 * are touched.
 *
 * @returns the paths that were removed
 */
export function removeStaleStaging(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => NAME.test(name));
  } catch {
    // A directory that cannot be listed has nothing that we could remove; writing to it may still work.
    return [];
  }
  return names.map((name) => join(directory, name)).filter((path) => removeStaging(path));
}

/**
 * Removes one staging directory if the process that made it is gone.
 *
 * @returns whether it is not there any longer
 */
export function removeStaging(path: string): boolean {
  const [, pid, startTime] = NAME.exec(basename(path)) ?? [];
  if (pid === undefined || isAlive(Number(pid), startTime)) return false;
  try {
    if (!lstatSync(path).isDirectory()) return false;
    for (const name of readdirSync(path)) {
      if (TEMPORARY.test(name)) unlinkSync(join(path, name));
    }
    rmdirSync(path);
    return true;
  } catch (error) {
    return errnoOf(error) === "ENOENT";
  }
}

/** A process id alone may have been given to another process since. */
function isAlive(pid: number, startTime: string | undefined): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
  }
  const current = startTimeOf(pid);
  return current === undefined || startTime === "0" || current === startTime;
}

/** Start time of a process in clock ticks since boot, or undefined where there is no /proc. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return statFields(stat)[19];
  } catch {
    // No /proc on this system, or the process has just ended.
    return undefined;
  }
}
