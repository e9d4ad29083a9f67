/**
 * Durations as people write them: `90s`, `10m`, `1h30m`, `1d`, `500ms`. Input comes from the user's own command line,
 * environment or configuration; anything but the exact form is refused.
 */
import { quoteValue, usageError } from "./usage-error.ts";

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];
const FORM = /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9})s)?(?:(\d{1,12})ms)?$/;

/** The longest duration that sbx takes, `ms`: what a timer of Node can wait for, in whole days. */
export const MAX_DURATION_MS = 24 * 86_400_000;

export interface DurationLimits {
  /** `ms` */
  minMs: number;
  /** `ms` */
  maxMs: number;
}

/**
 * Reads a duration: one or more of days, hours, minutes, seconds and milliseconds, in this order.
 *
 * @returns milliseconds within the limits
 * @throws SbxError `usage`
 */
export function parseDuration(text: string, limits: DurationLimits = { minMs: 1, maxMs: MAX_DURATION_MS }): number {
  const match = text === "" ? null : FORM.exec(text);
  if (match === null) {
    throw usageError(
      `${quoteValue(text)} is not a duration`,
      /^\d+$/.test(text)
        ? `give a unit, such as ${text.slice(0, 9)}s or ${text.slice(0, 9)}m`
        : "write it as 90s, 10m or 1h30m",
    );
  }
  const ms = UNITS.reduce((sum, [, unit], index) => sum + Number(match[index + 1] ?? 0) * unit, 0);
  if (ms < limits.minMs || ms > limits.maxMs) {
    throw usageError(
      `${quoteValue(text)} is out of range: it must be from ${formatDuration(limits.minMs)} to ${formatDuration(limits.maxMs)}`,
    );
  }
  return ms;
}

/** Writes a duration so that {@link parseDuration} reads the same number. `ms` is a whole number, 0 or more. */
export function formatDuration(ms: number): string {
  const parts: string[] = [];
  let rest = ms;
  for (const [name, unit] of UNITS) {
    const count = Math.floor(rest / unit);
    rest -= count * unit;
    if (count > 0) parts.push(`${count}${name}`);
  }
  return parts.length === 0 ? "0s" : parts.join("");
}
