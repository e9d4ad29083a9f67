/**
 * Makes text harmless for a terminal. Input may come from a guest, a label, a file name: anything.
 *
 * Control characters (C0, DEL, C1) could move the cursor, set the title or answer for the user; bidirectional overrides
 * and invisible format characters could make a name look like another one. They are shown as escapes instead.
 */

// Cc: control; Cf: format, which holds the bidirectional overrides; Zl and Zp: line and paragraph separator; Cs: halves
// of surrogate pairs. U+200D stays, since it only joins emoji.
const UNSAFE = /(?!\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e" };

/** One line of text: everything unsafe becomes a visible escape, line breaks and tabs too. */
export function escapeLine(text: string): string {
  return text.replace(UNSAFE, toEscape);
}

/** Text of several lines: as {@link escapeLine}, but line breaks and tabs stay. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (character) =>
    character === "\n" || character === "\t" ? character : toEscape(character),
  );
}

function toEscape(character: string): string {
  const named = NAMED[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\u{${code.toString(16)}}`;
}
