/** Host patterns with commas between them. Input comes from the user; what each pattern means is src/policy's. */

/** Splits at commas, but not between the ports of one host: `a.example:80,443,b.example` has two patterns. */
export function splitPatterns(text: string): string[] {
  const patterns: string[] = [];
  for (const piece of text.split(",")) {
    const before = patterns.at(-1);
    if (before !== undefined && /^\d+(?:-\d+)?$/.test(piece)) patterns[patterns.length - 1] = `${before},${piece}`;
    else patterns.push(piece);
  }
  return patterns;
}
