/** How much a copy from the host will take: for the progress bar, so quick rather than exact. */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import type { PackSource } from "./pack-sources.ts";

/** Beyond so many entries the total stays unknown: the copy should start. */
const MAX_ENTRIES = 200_000;
/** Entries between two turns of the event loop. */
const TURN_ENTRIES = 2_000;

/** @returns bytes of all files, or undefined if there are too many to count beforehand */
export async function scanBytes(sources: readonly PackSource[], signal?: AbortSignal): Promise<number | undefined> {
  const queue = sources.map(({ path }) => path);
  const slash = Buffer.from("/");
  const linked = new Set<string>();
  let bytes = 0;
  let entries = 0;
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    entries += 1;
    if (entries > MAX_ENTRIES || signal?.aborted === true) return undefined;
    if (entries % TURN_ENTRIES === 0) await new Promise(setImmediate);
    try {
      const stats = lstatSync(path);
      if (stats.isFile() && isFirstName(stats, linked)) bytes += stats.size;
      if (!stats.isDirectory()) continue;
      for (const name of readdirSync(path, { encoding: "buffer" })) queue.push(Buffer.concat([path, slash, name]));
    } catch {
      // What cannot be read is left out by the copy too, which reports it.
      continue;
    }
  }
  return bytes;
}

/** A file with several names is sent once. */
function isFirstName(stats: Stats, linked: Set<string>): boolean {
  if (stats.nlink < 2) return true;
  const key = `${stats.dev}:${stats.ino}`;
  if (linked.has(key)) return false;
  linked.add(key);
  return true;
}
