/** Reading and changing field lines by name, whatever its case. */
import type { FieldLines } from "../http-heads.ts";

/** All lines of one name, joined as RFC 9110 (5.3) says; undefined for none. */
export function fieldValue(fields: FieldLines, name: string): string | undefined {
  let value: string | undefined;
  for (const line of fields) {
    if (line[0].length !== name.length || line[0].toLowerCase() !== name) continue;
    value = value === undefined ? line[1] : `${value}, ${line[1]}`;
  }
  return value;
}

export function withoutFields(fields: FieldLines, names: ReadonlySet<string>): FieldLines {
  return fields.some(([name]) => names.has(name.toLowerCase()))
    ? fields.filter(([name]) => !names.has(name.toLowerCase()))
    : fields;
}

/** Puts one line in the place of all that have the name; adds none. */
export function replaceField(fields: FieldLines, name: string, value: string): FieldLines {
  let done = false;
  const lines: (readonly [string, string])[] = [];
  for (const line of fields) {
    if (line[0].toLowerCase() !== name) lines.push(line);
    else if (!done) {
      done = true;
      lines.push([line[0], value]);
    }
  }
  return lines;
}
