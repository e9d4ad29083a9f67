/** The lines of `sbx doctor` and `sbx setup`. What was found may quote the output of other programs; it is escaped. */
import type { Check, CheckStatus } from "../../runtime/types.ts";
import { pad } from "../output/display-width.ts";
import { escapeLine } from "../output/escape.ts";
import type { Palette } from "../output/palette.ts";
import { wrapWords } from "../output/wrap.ts";

const MARKS: Readonly<Record<CheckStatus, string>> = { ok: "ok", warning: "warning", failed: "FAILED", info: "-" };
const MARK_WIDTH = 7;
const GAP = "  ";
const TRY = "try:";
/** With less room beside the titles, what was found goes below them. */
const MIN_TEXT_WIDTH = 40;

/**
 * A line a check, and one more where there is something to do.
 *
 * @param width columns of the terminal; absent when the output is none, and nothing is to be broken
 */
export function renderChecks(checks: readonly Check[], palette: Palette, width = Number.POSITIVE_INFINITY): string {
  const titleWidth = Math.max(0, ...checks.map(({ title }) => escapeLine(title).length));
  const before = MARK_WIDTH + titleWidth + 2 * GAP.length;
  const beside = width - before >= MIN_TEXT_WIDTH;
  const indent = " ".repeat(beside ? before : MARK_WIDTH + GAP.length);
  return checks
    .map((check) => {
      const head = `${paintMark(check.status, palette)}${GAP}${pad(escapeLine(check.title), titleWidth)}`;
      const found = wrapWords(oneLine(check.found), width - indent.length);
      const lines = beside ? [`${head}${GAP}${found.shift() ?? ""}`, ...found.map((line) => indent + line)] : [head];
      if (!beside) lines.push(...found.map((line) => indent + line));
      if (check.fix !== undefined) lines.push(...fixLines(check.fix, palette, width));
      return lines.map((line) => line.trimEnd()).join("\n");
    })
    .join("\n");
}

function fixLines(fix: string, palette: Palette, width: number): string[] {
  const indent = " ".repeat(MARK_WIDTH + GAP.length);
  const [first = "", ...rest] = wrapWords(oneLine(fix), width - indent.length - TRY.length - 1);
  return [
    `${indent}${palette.dim(TRY)} ${first}`,
    ...rest.map((line) => `${indent}${" ".repeat(TRY.length + 1)}${line}`),
  ];
}

/** Other programs say things in several lines. */
function oneLine(text: string): string {
  return escapeLine(text.trim().replaceAll(/:?\s*\n\s*/g, ": "));
}

function paintMark(status: CheckStatus, palette: Palette): string {
  const text = pad(MARKS[status], MARK_WIDTH);
  switch (status) {
    case "ok":
      return palette.good(text);
    case "warning":
      return palette.warning(text);
    case "failed":
      return palette.bad(text);
    case "info":
      return palette.dim(text);
  }
}
