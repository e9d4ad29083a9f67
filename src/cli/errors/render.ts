/** How an error looks: for a person, or as JSON. Its texts may quote what a guest said, so they are escaped here. */
import type { ErrorRecord } from "../../runtime/errors.ts";
import { escapeLine, escapeText } from "../output/escape.ts";
import { PLAIN, type Palette } from "../output/palette.ts";

/**
 * What failed, why, and what to do next:
 *
 * ```
 * sbx: no sandbox is called "web"
 *   why: …
 *   try: sbx list
 * ```
 */
export function renderError(record: ErrorRecord, palette: Palette = PLAIN): string {
  const lines = [`${palette.bad("sbx:")} ${indentRest(record.message)}`];
  let shown = record.message;
  for (const cause of record.causes ?? []) {
    // Many a message quotes its cause already.
    if (shown.includes(cause)) continue;
    shown += `\n${cause}`;
    lines.push(`  ${palette.dim("why:")} ${indentRest(cause)}`);
  }
  if (record.hint !== undefined) lines.push(`  ${palette.dim("try:")} ${indentRest(record.hint)}`);
  return `${lines.join("\n")}\n`;
}

/** One line of JSON: `{"error": {code, message, hint?, causes?}}`. */
export function renderErrorJson(record: ErrorRecord): string {
  const { code, message, hint, causes } = record;
  return `${JSON.stringify({ error: { code, message, hint, causes } })}\n`;
}

/** A line such as `sbx: …` for something that is no error. */
export function renderNotice(text: string, palette: Palette = PLAIN): string {
  return `${palette.dim("sbx:")} ${escapeLine(text)}\n`;
}

function indentRest(text: string): string {
  return escapeText(text.trim()).replaceAll("\n", "\n       ");
}
