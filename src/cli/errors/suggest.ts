/** Did-you-mean: the known word nearest to a mistyped one. Input is the user's own word; the result is a known one. */

/** Words longer than this are no typing errors, characters. */
const MAX_LENGTH = 40;

/**
 * The nearest of the candidates: one that the word begins or that begins the word, else one within a few typing errors
 * (a third of its length, at most 3). `undefined` if nothing is near.
 */
export function findClosest(word: string, candidates: readonly string[]): string | undefined {
  if (word === "" || word.length > MAX_LENGTH) return undefined;
  const lower = word.toLowerCase();
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(lower, candidate.toLowerCase());
    const limit = Math.min(3, Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3)));
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { candidate, distance };
  }
  const begun = candidates.filter((candidate) => word.length >= 2 && candidate.toLowerCase().startsWith(lower));
  return best?.candidate ?? (begun.length === 1 ? begun[0] : undefined);
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min((row[j - 1] ?? 0) + 1, (last[j] ?? 0) + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
