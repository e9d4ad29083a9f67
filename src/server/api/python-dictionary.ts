/**
 * A dictionary of strings as Python writes it: `{'team': 'a', "it's": '\u00e9'}`. The SDK for Python puts the labels that it
 * lists sandboxes by into one parameter of the query in this form.
 */
import { z } from "zod";

const MAX_CHARACTERS = 4096;

/** String literals of the language reference, section 2.4.1, as `repr` makes them. */
const STRING = String.raw`'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"`;
const ENTRY = `(?:${STRING}): (?:${STRING})`;
const DICTIONARY = new RegExp(`^\\{(?:${ENTRY}(?:, ${ENTRY})*)?\\}$`, "s");
const STRINGS = new RegExp(STRING, "gs");
const ESCAPE = /\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)/gs;
const NAMED: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

export const pythonDictionary = z
  .string()
  .max(MAX_CHARACTERS)
  .transform((text, context): Record<string, string> => {
    if (!DICTIONARY.test(text)) {
      context.addIssue({ code: "custom", message: "must be labels[key]=value" });
      return z.NEVER;
    }
    const strings = (text.match(STRINGS) ?? []).map(readString);
    return Object.fromEntries(
      Array.from({ length: strings.length / 2 }, (_, at) => [strings[2 * at] ?? "", strings[2 * at + 1] ?? ""]),
    );
  });

function readString(literal: string): string {
  return literal.slice(1, -1).replace(ESCAPE, (escape) => {
    const digits = /^\\[xuU](.+)$/s.exec(escape)?.[1];
    if (digits === undefined) return NAMED[escape.slice(1)] ?? escape.slice(1);
    const code = Number.parseInt(digits, 16);
    return code <= 0x10_ffff ? String.fromCodePoint(code) : "\ufffd";
  });
}
