/** Reading and changing field lines by name, whatever its case, in one pass. */
import type { FieldLines } from "../http-heads.ts";

export interface KeyFields {
  contentType: string | undefined;
  contentLength: string | undefined;
  contentEncoding: string | undefined;
  acceptEncoding: string | undefined;
}

const KEYS: ReadonlyMap<string, keyof KeyFields> = new Map([
  ["content-type", "contentType"],
  ["content-length", "contentLength"],
  ["content-encoding", "contentEncoding"],
  ["accept-encoding", "acceptEncoding"],
]);
const KEY_LENGTHS: ReadonlySet<number> = new Set(Array.from(KEYS.keys(), (name) => name.length));

/** The fields that say how a message is to be read; lines of one name are joined as RFC 9110 (5.3) says. */
export function readKeyFields(fields: FieldLines): KeyFields {
  const found: KeyFields = {
    contentType: undefined,
    contentLength: undefined,
    contentEncoding: undefined,
    acceptEncoding: undefined,
  };
  for (const [name, value] of fields) {
    if (!KEY_LENGTHS.has(name.length)) continue;
    const key = KEYS.get(name.toLowerCase());
    if (key !== undefined) found[key] = found[key] === undefined ? value : `${found[key]}, ${value}`;
  }
  return found;
}

/** A new value for all lines of a name together, or `null` to take them away. Nothing is added. */
export type FieldChanges = ReadonlyMap<string, string | null>;

export function changeFields(fields: FieldLines, changes: FieldChanges): FieldLines {
  if (changes.size === 0) return fields;
  const done = new Set<string>();
  const lines: (readonly [string, string])[] = [];
  for (const line of fields) {
    const key = line[0].toLowerCase();
    const value = changes.get(key);
    if (value === undefined) lines.push(line);
    else if (value !== null && !done.has(key)) lines.push([line[0], value]);
    if (value !== undefined) done.add(key);
  }
  return lines;
}
