/** Log lines as text and JSON. The console's lines are the guest's words: escaped, whatever they are printed to. */
import type { LogLine } from "../../runtime/types.ts";
import { escapeText } from "../output/escape.ts";
import type { Palette } from "../output/palette.ts";

const SOURCE_WIDTH = "supervisor".length;

/** Such as `2026-03-01T12:00:00.000Z supervisor  ready`. */
export function logLine(line: LogLine, palette: Palette): string {
  const time = line.time === null ? "" : `${new Date(line.time).toISOString()} `;
  return `${palette.dim(`${time}${line.source.padEnd(SOURCE_WIDTH)}`)}  ${escapeText(line.text.replace(/[\r\n]+$/, ""))}`;
}

/** One JSON object a line. */
export function logJson(line: LogLine): string {
  return JSON.stringify({
    time: line.time === null ? null : new Date(line.time).toISOString(),
    source: line.source,
    text: line.text,
  });
}
