/** The error for a command that does not exist. The words are the user's own. */
import { quoteValue, usageError } from "../parsers/usage-error.ts";
import type { SbxError } from "../../runtime/errors.ts";
import { findClosest } from "./suggest.ts";

/**
 * Explains `sbx WORDS…` where no command fits: a command that takes no arguments was given some, or a name was mistyped.
 *
 * @param words the words that oclif took for the command's name
 * @param commands all names and aliases, words separated by a space
 */
export function unknownCommand(words: readonly string[], commands: readonly string[]): SbxError {
  for (let count = words.length - 1; count > 0; count--) {
    const known = words.slice(0, count).join(" ");
    if (commands.includes(known)) {
      const extra = words.slice(count).map(quoteValue).join(", ");
      return usageError(`sbx ${known} takes no such argument: ${extra}`, `sbx ${known} --help`);
    }
  }
  const given = words.join(" ");
  const near = findClosest(given, commands) ?? findClosest(words[0] ?? "", commands);
  return usageError(
    `${quoteValue(given)} is not a command of sbx`,
    near === undefined ? "sbx help" : `did you mean: sbx ${near}`,
  );
}
