/** How many columns text takes on a terminal. Input is already escaped (escape.ts); wide characters may be in it. */

let segmenter: Intl.Segmenter | undefined;

/** What a reader takes for one character. Made when it is needed: loading the tables takes milliseconds. */
function graphemes(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  return segmenter.segment(text);
}

/** Ranges that Unicode's EastAsianWidth.txt marks as wide or full width, the blocks in use. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1faff],
  [0x20000, 0x3fffd],
];

function graphemeWidth(grapheme: string): number {
  const code = grapheme.codePointAt(0) ?? 0;
  if (/^\p{M}/u.test(grapheme)) return 0;
  return WIDE.some(([first, last]) => code >= first && code <= last) || /\p{Emoji_Presentation}/u.test(grapheme)
    ? 2
    : 1;
}

/** Columns that `text` takes. */
export function displayWidth(text: string): number {
  if (isPlain(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes(text)) width += graphemeWidth(segment);
  return width;
}

/** Cuts `text` to at most `columns`, with an ellipsis where something is lost. `columns` is at least 1. */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = "";
  let width = 0;
  for (const { segment } of graphemes(text)) {
    width += graphemeWidth(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

/** Adds spaces up to `columns`. */
export function pad(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - displayWidth(text)));
}

/** Printable ASCII: one column a character, by far the most common case. */
function isPlain(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}
