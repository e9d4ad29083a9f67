/** Random numbers that can be had again. */

/** From SBX_TEST_SEED, or a new one; tests put it into their titles. */
export function testSeed(): number {
  const given = Number(process.env.SBX_TEST_SEED);
  return Number.isInteger(given) && given > 0 ? given : 1 + Math.floor(Math.random() * 0xffff_fffe);
}

/** Numbers from 0 to 1 (xorshift32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
