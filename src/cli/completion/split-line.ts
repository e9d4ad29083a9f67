/** Splits the line before the cursor into words as a shell would, for completion. Input is the user's own line. */

/**
 * The words of the last command on the line; the last one is what is being typed (empty after a space). Quotes and
 * backslashes are taken off; an unfinished quote is fine.
 */
export function splitLine(line: string): string[] {
  let words: string[] = [];
  let word = "";
  let begun = false;
  let quote = "";
  for (let index = 0; index < line.length; index++) {
    const character = line[index] ?? "";
    if (quote !== "") {
      if (character === quote) quote = "";
      else if (character === "\\" && quote === '"') word += line[++index] ?? "";
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      begun = true;
    } else if (character === "\\") {
      word += line[++index] ?? "";
      begun = true;
    } else if (/\s/.test(character)) {
      if (begun) words.push(word);
      word = "";
      begun = false;
    } else if (/[|;&]/.test(character)) {
      // Another command begins.
      words = [];
      word = "";
      begun = false;
    } else {
      word += character;
      begun = true;
    }
  }
  return [...words, word];
}
