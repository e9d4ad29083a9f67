/** Searches the parts of a head together: most heads have nothing in them, and few parts of the others do. */
import type { FieldLines } from "../http-heads.ts";
import type { NeedleSearch } from "./needle-search.ts";

/** Of the parts, by their number. */
const NOTHING: ReadonlySet<number> = new Set();

/**
 * @param parts latin1 text without line breaks
 * @returns the numbers of the parts that have something in them
 */
export function findParts<T>(search: NeedleSearch<T>, parts: readonly string[]): ReadonlySet<number> {
  if (search.isEmpty) return NOTHING;
  // No needle has a line break, in any form.
  const data = Buffer.from(parts.join("\n"), "latin1");
  let found = search.find(data, 0, true);
  if (found === null) return NOTHING;
  const numbers = new Set<number>();
  let part = 0;
  let end = parts[0]?.length ?? 0;
  for (; found?.kind === "match"; found = search.find(data, Math.max(found.end, end), true)) {
    while (found.start >= end && part + 1 < parts.length) {
      part += 1;
      end += 1 + (parts[part]?.length ?? 0);
    }
    numbers.add(part);
  }
  return numbers;
}

/** Names and values in turn. */
export function fieldParts(fields: FieldLines): string[] {
  const parts: string[] = [];
  for (const [name, value] of fields) parts.push(name, value);
  return parts;
}
