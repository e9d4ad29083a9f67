/** Sizes and durations as the published API and the configuration write them. */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
const DURATION_UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `10GB`, `1.5GiB`; a number is bytes. Undefined for anything else. */
export function readSize(value: string | number): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  const match = /^(\d{1,12}(?:\.\d{1,6})?)(kB|MB|GB|KiB|MiB|GiB)$/.exec(value);
  const bytes = Math.floor(Number(match?.[1]) * (SIZE_UNITS[match?.[2] ?? ""] ?? Number.NaN));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `90s`, `30m`, `2h`, `1d` in `ms`. Undefined for anything else. */
export function readDuration(value: string): number | undefined {
  const match = /^(\d{1,7})([smhd])$/.exec(value);
  const ms = Number(match?.[1]) * (DURATION_UNITS[match?.[2] ?? ""] ?? Number.NaN);
  return Number.isSafeInteger(ms) && ms > 0 ? ms : undefined;
}
