/** What a copy has left out. The other end names the entries: the list is bounded and an entry counts once. */
import { MAX_SKIPPED_LISTED } from "./copy-records.ts";

export interface SkippedEntry {
  path: string;
  reason: string;
}

export class SkippedList {
  readonly #entries = new Map<string, SkippedEntry>();
  #unlisted = 0;

  add(path: string, reason: string): void {
    const entry = { path: path.slice(0, 4096), reason: reason.slice(0, 1024) };
    if (this.#entries.has(entry.path)) return;
    if (this.#entries.size < MAX_SKIPPED_LISTED) this.#entries.set(entry.path, entry);
    else this.#unlisted += 1;
  }

  addAll(entries: readonly SkippedEntry[]): void {
    for (const { path, reason } of entries) this.add(path, reason);
  }

  list(): SkippedEntry[] {
    const listed = [...this.#entries.values()];
    if (this.#unlisted === 0) return listed;
    return [...listed, { path: "…", reason: `and ${this.#unlisted} more` }];
  }
}
