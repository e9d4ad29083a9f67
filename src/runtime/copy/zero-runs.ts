/** Finds runs of zeros: Node cannot ask the file system for holes (SEEK_HOLE), so their content tells. */

/** Zeros count in whole blocks of this size. */
export const BLOCK_BYTES = 4096;
/** Shorter runs travel as data: a hole breaks a file up, and the records around it cost too. */
const MIN_HOLE_BYTES = 32 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/**
 * The first run of whole zero blocks between `from` and `end` that is worth a hole. Blocks are counted from `from`,
 * so a caller that reads a file in multiples of 4 KiB sees the file's own blocks.
 *
 * @param continues whether a hole ends at `from`: any zeros there belong to it
 */
export function findHole(
  bytes: Buffer,
  from: number,
  end: number,
  continues: boolean,
): { start: number; end: number } | undefined {
  const needed = (at: number): number => (continues && at === from ? BLOCK_BYTES : MIN_HOLE_BYTES);
  let start = from;
  let runBytes = 0;
  for (let at = from; at + BLOCK_BYTES <= end; at += BLOCK_BYTES) {
    if (bytes[at] === 0 && ZEROS.compare(bytes, at, at + BLOCK_BYTES) === 0) {
      if (runBytes === 0) start = at;
      runBytes += BLOCK_BYTES;
      continue;
    }
    if (runBytes >= needed(start)) break;
    runBytes = 0;
  }
  return runBytes >= needed(start) ? { start, end: start + runBytes } : undefined;
}
