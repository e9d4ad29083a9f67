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
  const { one, two } = await allInTurns(rounds, warmups, { one: first, two: second });
  return [one, two];
}

/** Any number of measurements in turns, by their names. */
export async function allInTurns<Name extends string>(
  rounds: number,
  warmups: number,
  works: Record<Name, () => Promise<number>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(works) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  for (let round = -warmups; round < rounds; round++) {
    for (const name of names) {
      const sample = await works[name]();
      if (round >= 0) samples[name].push(sample);
    }
  }
  return samples;
}
