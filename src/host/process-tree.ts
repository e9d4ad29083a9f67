/**
 * Processes and their descendants, from /proc. Most kernels are built to list the children of a thread
 * (`/proc/PID/task/TID/children`, proc_pid_task(5)): a few files. With others, the parent of every process there is has to
 * be looked up, which on a host with hundreds of sandboxes takes long.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { statFields } from "./stat-fields.ts";

export type Lookup = "children" | "parents";

/** Parents before their children. What ends meanwhile is left out, but for the leaders. */
export function processTree(leaders: readonly number[], lookup: Lookup = ownLookup()): number[] {
  const childrenOf = lookup === "children" ? listedChildren : searchedChildren();
  const tree = new Set(leaders);
  for (const pid of tree) {
    for (const child of childrenOf(pid)) tree.add(child);
  }
  return [...tree];
}

function ownLookup(): Lookup {
  return existsSync(`/proc/self/task/${process.pid}/children`) ? "children" : "parents";
}

function listedChildren(pid: number): number[] {
  const lists = namesIn(`/proc/${pid}/task`).map((thread) => contentOf(`/proc/${pid}/task/${thread}/children`));
  return lists.flatMap((list) => list.split(" ")).flatMap((text) => (text === "" ? [] : [Number(text)]));
}

function searchedChildren(): (pid: number) => readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of namesIn("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = contentOf(`/proc/${name}/stat`);
    const parent = Number(statFields(stat)[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return (pid) => children.get(pid) ?? [];
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // It has ended.
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return ""; // It ended while it was looked for.
  }
}
