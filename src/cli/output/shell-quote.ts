/** Words of a command as a user would type them in a shell; for hints. Pure, any input. */

/** Quotes one word for a POSIX shell, where it needs it. */
export function quoteWord(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
