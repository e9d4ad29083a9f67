/**
 * Sizes as people write them: `1280MiB`, `2GB`, `1.5g`. Input comes from the user's own command line, environment or
 * configuration; anything but the exact form is refused.
 *
 * `kB`, `MB`, `GB` and `TB` are decimal, `KiB` and so on binary. A bare `k`, `M`, `G` or `T` is binary, as in docker's
 * `--memory 2g`. Letters may be of either case. A number without a unit is refused: its meaning differs between tools.
 */
import { quoteValue, usageError } from "./usage-error.ts";

const PREFIXES = ["", "k", "m", "g", "t"] as const;
const MiB = 1024 ** 2;
const FORM = /^(\d{1,16})(?:\.(\d{1,6}))?(?:([kmgt])(ib?|b)?|(b))$/i;

export interface SizeLimits {
  /** Smallest size that is accepted, `bytes`. */
  minBytes: number;
  /** Largest size that is accepted, `bytes`. */
  maxBytes: number;
}

/**
 * Reads a size.
 *
 * @returns a whole number of bytes within the limits
 * @throws SbxError `usage`
 */
export function parseSize(text: string, limits: SizeLimits): number {
  const match = FORM.exec(text);
  if (match === null) {
    throw usageError(`${quoteValue(text)} is not a size`, sizeHint(text));
  }
  const [, whole = "", fraction = "", prefix = "", suffix] = match;
  const base = prefix === "" || suffix?.toLowerCase() === "b" ? 1000n : 1024n;
  const unit = base ** BigInt(PREFIXES.indexOf(prefix.toLowerCase() as (typeof PREFIXES)[number]));
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * unit;
  if (scaled % scale !== 0n) {
    throw usageError(`${quoteValue(text)} is not a whole number of bytes`);
  }
  const bytes = scaled / scale;
  if (bytes < BigInt(limits.minBytes) || bytes > BigInt(limits.maxBytes)) {
    throw usageError(
      `${quoteValue(text)} is out of range: it must be from ${formatSize(limits.minBytes)} to ${formatSize(limits.maxBytes)}`,
    );
  }
  return Number(bytes);
}

function sizeHint(text: string): string {
  return /^\d+$/.test(text)
    ? `give a unit, such as ${text.slice(0, 15)}MiB or ${text.slice(0, 15)}GB`
    : "write a number and a unit, such as 1280MiB, 2GiB or 10GB";
}

/** Writes a size so that {@link parseSize} reads the same number: in the largest unit that divides it. */
export function formatSize(bytes: number): string {
  const units: [string, number][] = [4, 3, 2, 1].flatMap((power): [string, number][] => [
    [`${["", "K", "M", "G", "T"][power] ?? ""}iB`, 1024 ** power],
    [`${PREFIXES[power] === "k" ? "k" : (PREFIXES[power] ?? "").toUpperCase()}B`, 1000 ** power],
  ]);
  const best = units.find(([, unit]) => bytes > 0 && bytes % unit === 0);
  return best === undefined ? `${bytes}B` : `${bytes / best[1]}${best[0]}`;
}

/**
 * A disk's size for people: as it was asked for. Root disks have whole MiB, so one of 10GB has some bytes more, for which
 * there is no other short name than `9537MiB`.
 */
export function displaySize(bytes: number): string {
  for (const unit of [1000 ** 4, 1000 ** 3]) {
    const asked = Math.floor(bytes / unit) * unit;
    if (asked > 0 && bytes % MiB === 0 && bytes - asked < MiB) return formatSize(asked);
  }
  return formatSize(bytes);
}
