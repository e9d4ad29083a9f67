/** Moments in the past as people write them: `10m` (ago), `2026-03-01`, `2026-03-01T14:05:09Z`. */
import { MAX_DURATION_MS, parseDuration } from "./duration.ts";
import { quoteValue, usageError } from "./usage-error.ts";

/** A date, or a date and a time, with or without a zone; without one it is the user's. (RFC 3339, and a blank for T.) */
const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/;

/**
 * Reads a moment.
 *
 * @returns epoch `ms`
 * @throws SbxError `usage`
 */
export function parseMoment(text: string, nowMs: number): number {
  if (!/^\d{4}-/.test(text)) return nowMs - parseAgo(text);
  // A date alone would be midnight in UTC (ECMA-262, 21.4.3.2): the user's is meant.
  const full = text.length === 10 ? `${text}T00:00` : text.replace(" ", "T");
  const time = DATE.test(text) ? Date.parse(full) : Number.NaN;
  if (Number.isNaN(time)) {
    throw usageError(`${quoteValue(text)} is no time`, "write it as 10m (ago), 2026-03-01 or 2026-03-01T14:05:09Z");
  }
  return time;
}

function parseAgo(text: string): number {
  return parseDuration(text, { minMs: 0, maxMs: MAX_DURATION_MS * 4 });
}
