/** Breaks text between words, so that a terminal does not break it within them. The text is escaped already. */
import { displayWidth } from "./display-width.ts";

/** Lines of at most `columns`, but for words that are longer than that. */
export function wrapWords(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && displayWidth(longer) > columns) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}
