/** Help texts as they are written in the sources: lines of a paragraph are joined, so that the help can wrap them anew. */

/** Joins lines; an empty line ends a paragraph, and lines that begin with a space stay by themselves. */
export function prose(text: string): string {
  return text
    .trim()
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.replaceAll(/\n(?! )/g, " "))
    .join("\n\n");
}
