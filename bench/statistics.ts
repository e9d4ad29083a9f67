/** What is said of a series of measurements. */

export interface Series {
  median: number;
  min: number;
  max: number;
  rounds: number;
}

/** @param samples at least one */
export function summarize(samples: readonly number[]): Series {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted.length % 2 === 0 ? sorted[middle - 1] : upper;
  const min = sorted[0];
  const max = sorted.at(-1);
  if (upper === undefined || lower === undefined || min === undefined || max === undefined) {
    throw new RangeError("there is nothing to summarize");
  }
  return { median: (lower + upper) / 2, min, max, rounds: sorted.length };
}

/** Runs `work` and returns how long it took, `ms`. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * Measures `work` again and again, after `warmups` rounds that do not count. The result is in the order of the rounds.
 */
export async function repeat(rounds: number, warmups: number, work: () => Promise<number>): Promise<number[]> {
  const samples: number[] = [];
  for (let round = -warmups; round < rounds; round++) {
    const sample = await work();
    if (round >= 0) samples.push(sample);
  }
  return samples;
}

/** Two measurements in turns, so that whatever else the machine does meanwhile touches both alike. */
export async function inTurns(
  rounds: number,
  warmups: number,
  first: () => Promise<number>,
  second: () => Promise<number>,
): Promise<[number[], number[]]> {
  const samples: [number[], number[]] = [[], []];
  for (let round = -warmups; round < rounds; round++) {
    const pair: [number, number] = [await first(), await second()];
    if (round < 0) continue;
    samples[0].push(pair[0]);
    samples[1].push(pair[1]);
  }
  return samples;
}
