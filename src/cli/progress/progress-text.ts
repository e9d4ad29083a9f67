/** What a progress event says in one line. Its message may name files that a guest chose, so it is escaped here. */
import type { ProgressEvent } from "../../runtime/types.ts";
import { displayWidth, truncate } from "../output/display-width.ts";
import { escapeLine } from "../output/escape.ts";
import { humanSize } from "../output/human.ts";

const BAR_CELLS = 24;
const SMALLEST_BAR_CELLS = 8;

/** `Copying  52%  104 MiB of 200 MiB`, as far as the event knows. */
export function progressLine(event: ProgressEvent): string {
  return [escapeLine(event.message), ...amounts(event)].join("  ");
}

/**
 * The same with a bar, for a terminal of `width` columns: what does not fit is left out, the bar last.
 *
 * @param bytesPerSecond shown where it is known
 */
export function progressBar(event: ProgressEvent, width: number, bytesPerSecond?: number): string {
  const fraction = fractionOf(event);
  if (fraction === undefined) return truncate(progressLine(event), Math.max(1, width));
  const rate = bytesPerSecond === undefined ? [] : [`${humanSize(bytesPerSecond)}/s`];
  const tail = [...amounts(event), ...rate].join("  ");
  const message = escapeLine(event.message);
  const room = width - displayWidth(message) - displayWidth(tail) - "  []  ".length;
  if (room < SMALLEST_BAR_CELLS) return truncate(`${message}  ${tail}`, Math.max(1, width));
  return `${message}  ${drawBar(fraction, Math.min(room, BAR_CELLS))}  ${tail}`;
}

function drawBar(fraction: number, cells: number): string {
  const full = Math.floor(fraction * cells);
  return `[${"=".repeat(full)}${full < cells ? ">" : ""}${" ".repeat(Math.max(0, cells - full - 1))}]`;
}

/** 0 to 1, or `undefined` where the whole is not known. */
function fractionOf(event: ProgressEvent): number | undefined {
  if (event.done === undefined || event.total === undefined || event.total <= 0) return undefined;
  return Math.min(1, Math.max(0, event.done / event.total));
}

function amounts(event: ProgressEvent): string[] {
  if (event.done === undefined) return [];
  const show = (value: number): string => (event.unit === "bytes" ? humanSize(value) : String(value));
  const fraction = fractionOf(event);
  if (fraction === undefined) return [event.unit === "files" ? `${show(event.done)} files` : show(event.done)];
  const unit = event.unit === "files" ? " files" : "";
  return [`${Math.floor(fraction * 100)}%`, `${show(event.done)} of ${show(event.total ?? 0)}${unit}`];
}
