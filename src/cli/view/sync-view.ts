/**
 * What a sandbox changed in its copy of a directory, for a person and for programs. Names and contents are the guest's:
 * they are escaped, and bounded.
 */
import type { Change, ChangeTexts } from "../../runtime/folders.ts";
import { escapeLine, escapeText } from "../output/escape.ts";
import { humanSize } from "../output/human.ts";
import type { Palette } from "../output/palette.ts";

/** Lines of one file's differences that are shown. */
const MAX_LINES = 400;
/** A longer line is cut, characters. */
const MAX_LINE_CHARS = 2000;
/** Lines around a difference. */
const CONTEXT = 3;
/** Texts that differ in more lines are not compared: finding the differences takes its square in time. */
const MAX_EDITS = 4000;

const MARKS = { added: "A", changed: "M", removed: "D" } as const;

export interface DiffStyle {
  /** Whether what was removed is going to be removed here. */
  remove: boolean;
  palette: Palette;
}

/** A change with everything that is to be said of it, a line each. */
export async function diffLines(change: Change, texts: ChangeTexts, { remove, palette }: DiffStyle): Promise<string[]> {
  const size = change.size === null ? "" : ` (${humanSize(change.size)})`;
  const suffix = change.entry === "directory" ? "/" : "";
  const lines = [palette.strong(`${MARKS[change.kind]} ${escapeLine(change.path)}${suffix}`) + palette.dim(size)];
  if (change.conflict) lines.push(palette.bad("  ! changed here as well"));
  for (const warning of change.warnings) lines.push(palette.warning(`  ! ${escapeLine(warning)}`));
  if (change.kind === "removed") {
    if (!remove) lines.push(palette.dim("  stays here: --delete removes it"));
    return lines;
  }
  if (change.entry === "directory") return lines;
  if (texts.before === null || texts.after === null) return [...lines, palette.dim(`  ${texts.reason ?? "no text"}`)];
  return [...lines, ...(await textLines(texts.before, texts.after, palette))];
}

/** As diff(1) writes it: one without lines is named by the line before it. */
function range(start: number, lines: number): string {
  return `${lines === 0 ? start - 1 : start},${lines}`;
}

async function textLines(before: string, after: string, palette: Palette): Promise<string[]> {
  const { structuredPatch } = await import("diff");
  const patch = structuredPatch("", "", before, after, "", "", { context: CONTEXT, maxEditLength: MAX_EDITS });
  if (patch === undefined) return [palette.dim("  too different for its lines to be compared")];
  const lines: string[] = [];
  for (const { oldStart, oldLines, newStart, newLines, lines: body } of patch.hunks) {
    lines.push(palette.dim(`  @@ -${range(oldStart, oldLines)} +${range(newStart, newLines)} @@`));
    for (const line of body) lines.push(paint(line, palette));
  }
  const rest = lines.length - MAX_LINES;
  return rest <= 0 ? lines : [...lines.slice(0, MAX_LINES), palette.dim(`  ${rest} more lines`)];
}

function paint(line: string, palette: Palette): string {
  const cut = line.length > MAX_LINE_CHARS ? `${line.slice(0, MAX_LINE_CHARS)}…` : line;
  const text = `  ${escapeText(cut)}`;
  if (line.startsWith("+")) return palette.good(text);
  return line.startsWith("-") ? palette.bad(text) : text;
}

/** `2 added, 1 changed`. */
export function describeChanges(changes: readonly Change[]): string {
  const count = (kind: Change["kind"]): number => changes.filter((change) => change.kind === kind).length;
  const parts = (["added", "changed", "removed"] as const).map((kind) => ({ kind, number: count(kind) }));
  const said = parts.filter(({ number }) => number > 0).map(({ kind, number }) => `${number} ${kind}`);
  return said.length === 0 ? "nothing" : said.join(", ");
}

export function changeJson({ kind, path, entry, size, conflict, warnings }: Change): object {
  return { kind, path, entry, size, conflict, warnings };
}
