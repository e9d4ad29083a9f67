/** Times and sizes for people: short and rounded. For exact values there is `--json`. Pure. */

/** Elapsed time in at most two units: `42s`, `5m`, `1h12m`, `3d4h`. Negative counts as zero. */
export function humanDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 || minutes >= 10 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
}

/** Time that is left: a second that has begun counts, so that the whole time is what was asked for. */
export function humanRest(ms: number): string {
  return humanDuration(Math.ceil(ms / 1000) * 1000);
}

/** A size in binary units with one decimal at most: `1.3 GiB`. */
export function humanSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? ""}`;
}

/** A time of day for the near, a date for the far, in the user's time zone: `14:05:09`, `2026-03-01 14:05`. */
export function humanTime(epochMs: number, nowMs: number): string {
  const time = new Date(epochMs);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (Math.abs(epochMs - nowMs) < 12 * 3_600_000) return `${clock}:${two(time.getSeconds())}`;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}
