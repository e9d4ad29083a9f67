/** Log lines as text and JSON. Most of them are the guest's words: escaped, whatever they are printed to. */
import type { LogLine } from "../../runtime/watching.ts";
import { escapeText } from "../output/escape.ts";
import { jsonLine } from "../output/json-line.ts";
import type { Palette } from "../output/palette.ts";

const LABEL_WIDTH = "process 1234".length;

export interface LogDisplay {
  palette: Palette;
  /** Whether each line begins with its time. */
  timestamps: boolean;
}

/** Such as `supervisor    ready`, or `process 1234  listening` with its time before it. */
export function logLine(line: LogLine, { palette, timestamps }: LogDisplay): string {
  const time = timestamps ? `${line.time === null ? "-".padEnd(24) : new Date(line.time).toISOString()} ` : "";
  const text = escapeText(line.text.replace(/[\r\n]+$/, ""));
  const stream = line.process?.stream;
  const shown = stream === "event" ? palette.dim(`[${text}]`) : stream === "stderr" ? palette.warning(text) : text;
  return `${palette.dim(`${time}${label(line).padEnd(LABEL_WIDTH)}`)}  ${shown}`;
}

function label({ source, process }: LogLine): string {
  return process === undefined ? source : `${source} ${process.pid}`;
}

/** One JSON object a line. */
export function logJson({ time, source, text, process }: LogLine): string {
  return jsonLine({ time: time === null ? null : new Date(time).toISOString(), source, ...process, text });
}
