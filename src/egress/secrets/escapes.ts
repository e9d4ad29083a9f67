/**
 * The ways in which one character is written when text is carried in a URL, a form, JSON, a script, Markdown, HTML or
 * XML. A text may mix them from character to character.
 */

/** What was met in a text, as bits. */
export const WRITTEN = {
  plain: 0,
  /** `%44`, and `+` for a space. */
  percent: 1,
  /** `\u0044`, `\x44`, `\/`. */
  backslash: 2,
  /** `&#68;`, `&#x44;`, `&amp;`. */
  entity: 4,
  /** One of the above within itself: `%2544`, `\\u0044`. */
  nested: 8,
  /** A letter in the other case, where that was looked for. */
  otherCase: 16,
} as const;

export interface Escape {
  /** Compared without regard to the case of letters. */
  bytes: Buffer;
  /** Bits of {@link WRITTEN}. */
  written: number;
}

const NAMED_ENTITIES: Readonly<Record<string, readonly string[]>> = {
  "&": ["&amp;"],
  "<": ["&lt;"],
  ">": ["&gt;"],
  '"': ["&quot;"],
  "'": ["&apos;"],
};
/** `%2544` is `%44` in a URL that is a parameter of a URL; deeper nesting is not looked for. */
const PERCENT_LEVELS = ["%", "%25", "%2525"];
/** JSON within JSON doubles them. */
const BACKSLASHES = ["\\", "\\\\", "\\\\\\"];

const ofBytes = new Map<number, readonly Escape[]>();
const ofCodePoints = new Map<number, readonly Escape[]>();

/** Forms of one byte. */
export function escapesOfByte(byte: number): readonly Escape[] {
  let known = ofBytes.get(byte);
  if (known === undefined) {
    known = PERCENT_LEVELS.map((prefix, level) =>
      escape(prefix + hex(byte, 2), level === 0 ? WRITTEN.percent : WRITTEN.percent | WRITTEN.nested),
    );
    if (byte === 0x20) known = [...known, escape("+", WRITTEN.percent)];
    ofBytes.set(byte, known);
  }
  return known;
}

/** Forms of one character. */
export function escapesOfCodePoint(codePoint: number): readonly Escape[] {
  let known = ofCodePoints.get(codePoint);
  if (known === undefined) {
    known = [...backslashForms(codePoint), ...entityForms(codePoint)];
    ofCodePoints.set(codePoint, known);
  }
  return known;
}

function backslashForms(codePoint: number): Escape[] {
  const character = String.fromCodePoint(codePoint);
  const units = Array.from({ length: character.length }, (_, at) => hex(character.charCodeAt(at), 4));
  const forms = BACKSLASHES.map((prefix, level) =>
    escape(units.map((unit) => `${prefix}u${unit}`).join(""), backslash(level)),
  );
  if (codePoint < 0x100) forms.push(escape(`\\x${hex(codePoint, 2)}`, WRITTEN.backslash | WRITTEN.nested));
  if (character === "\\") {
    forms.push(escape("\\\\", WRITTEN.backslash), escape("\\\\\\\\", backslash(1)));
  } else if (isPunctuation(codePoint)) {
    forms.push(...BACKSLASHES.map((prefix, level) => escape(prefix + character, backslash(level))));
  }
  return forms;
}

function backslash(level: number): number {
  return level === 0 ? WRITTEN.backslash : WRITTEN.backslash | WRITTEN.nested;
}

function entityForms(codePoint: number): Escape[] {
  const decimal = String(codePoint);
  const hexadecimal = codePoint.toString(16);
  return [
    `&#${decimal};`,
    `&#0${decimal};`,
    `&#x${hexadecimal};`,
    `&#x${hexadecimal.padStart(4, "0")};`,
    ...(NAMED_ENTITIES[String.fromCodePoint(codePoint)] ?? []),
  ].map((text) => escape(text, WRITTEN.entity));
}

function isPunctuation(codePoint: number): boolean {
  return codePoint > 0x20 && codePoint < 0x7f && !/[0-9A-Za-z]/.test(String.fromCodePoint(codePoint));
}

function hex(number: number, digits: number): string {
  return number.toString(16).padStart(digits, "0");
}

function escape(text: string, written: number): Escape {
  return { bytes: Buffer.from(text), written };
}
