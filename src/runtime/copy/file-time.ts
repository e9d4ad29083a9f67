/** Times of a copy stream, which guest code chose, as the host's file systems take them. */

/** Years 1 and 9999: beyond them file systems and programs differ. */
const MIN_MS = -62_135_596_800_000;
const MAX_MS = 253_402_300_799_000;

/** @returns seconds since the epoch, as Node's utimes takes them */
export function toFileTime(mtimeMs: number): number {
  return Math.min(Math.max(mtimeMs, MIN_MS), MAX_MS) / 1000;
}
