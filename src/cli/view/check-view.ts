/** The lines of `sbx doctor` and `sbx setup`. What was found may quote the output of other programs; it is escaped. */
import type { Check, CheckStatus } from "../../runtime/types.ts";
import { pad } from "../output/display-width.ts";
import { escapeLine } from "../output/escape.ts";
import type { Palette } from "../output/palette.ts";

const MARKS: Readonly<Record<CheckStatus, string>> = { ok: "ok", warning: "warning", failed: "FAILED", info: "-" };
const MARK_WIDTH = 7;

/** A line a check, and one more where there is something to do. */
export function renderChecks(checks: readonly Check[], palette: Palette): string {
  const titleWidth = Math.max(0, ...checks.map(({ title }) => escapeLine(title).length));
  return checks
    .map((check) => {
      const mark = paintMark(check.status, palette);
      const line = `${mark}  ${pad(escapeLine(check.title), titleWidth)}  ${escapeLine(check.found)}`.trimEnd();
      return check.fix === undefined
        ? line
        : `${line}\n${" ".repeat(MARK_WIDTH)}  ${palette.dim("try:")} ${escapeLine(check.fix)}`;
    })
    .join("\n");
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
