/**
 * Which control sequences of a guest may reach the user's terminal. What draws, and what a program must know to draw,
 * may. What makes the terminal type text that the guest chose, reach for the clipboard or files, print, read what is on
 * the screen, reprogram keys, or understand bytes differently from this filter, may not (docs/terminals.md).
 *
 * Unknown strings are not passed on: each terminal has its own, and new ones come.
 */
import type { ControlSequence, SequenceKind } from "./control-sequences.ts";

/** Window operations: reports of sizes and positions, and the stack of titles. Not 20 and 21, which type the title. */
const WINDOW_OPERATIONS = new Set([11, 13, 14, 15, 16, 18, 19, 22, 23]);

/**
 * Operating system commands: titles, colours, the directory, hyperlinks, progress and messages, marks of prompts. Not 52
 * (clipboard), 50 (types the font's name), 1337 (iTerm2: downloads, clipboard), 5113 (kitty: files).
 */
const OS_COMMANDS = new Set([
  ...[0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
  ...[104, 105, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 133],
]);

/** A message (iTerm2), and progress, which has this number in front (ConEmu). */
const MESSAGE = 9;
const PROGRESS = 4;

/** Modes that change what bytes mean: VT52 (set by resetting 2), Tektronix. */
const VT52_MODE = 2;
const TEKTRONIX_MODE = 38;
/** Lets the mode of 80 or 132 columns resize the window. */
const COLUMNS_MODE = 40;

/**
 * Final bytes that do not pass, with intermediates neither, where they are nothing that is known: `i` prints, `]` puts
 * another of Linux's consoles in front, and behind `[` they take one more character.
 */
const FORBIDDEN_FINALS = new Set(["i", "[", "]"]);
/**
 * And with these intermediates: `*y` types a checksum of any part of the screen, which tells what is there; `*z` runs a
 * macro; `'z`, `'{`, `'w` and `'|` are DEC's own mouse reports; `"p` chooses another terminal to be; `$|` and `*|`
 * resize the window; `$}` has what follows go to the status line.
 */
const FORBIDDEN_NAMES = new Set(["*y", "*z", "'z", "'{", "'w", "'|", '"p', "$|", "*|", "$}"]);

/** Whether a control sequence may pass. */
export function mayControl({ prefix, params, intermediates, final }: ControlSequence): boolean {
  const name = intermediates + final;
  if (FORBIDDEN_FINALS.has(final) || FORBIDDEN_NAMES.has(name)) return false;
  if (name === "t") return prefix === "" && WINDOW_OPERATIONS.has(params[0] ?? 0);
  // How titles are reported.
  if (name === "T" && prefix === ">") return false;
  if (prefix !== "?") return true;
  if (name === "l") return !params.includes(VT52_MODE);
  // What was saved at some time (`r`) is no more than what was set.
  return name !== "h" || !params.some((mode) => mode === TEKTRONIX_MODE || mode === COLUMNS_MODE);
}

/** Whether an escape sequence may pass. @param body intermediates and final byte */
export function mayEscape(body: string): boolean {
  // Another character set for the whole line, in which 8-bit controls have one byte; only UTF-8 itself may be chosen.
  if (body.startsWith("%")) return body === "%G";
  // The form of the terminal's answers, and its conformance; and the end of a string that did not pass.
  return !body.startsWith(" ") && body !== "\\";
}

/** Printable ASCII and everything from U+00A0 on, as UTF-8. */
const PLAIN_TEXT = /^[^\p{Cc}\ufffd]*$/u;
const decoder = new TextDecoder("utf-8");

/** Whether a string may pass. @param body what lies between introducer and terminator */
export function mayString(kind: SequenceKind, body: Uint8Array): boolean {
  if (kind !== "osc" && kind !== "title") return false;
  const text = decoder.decode(body);
  if (!PLAIN_TEXT.test(text)) return false;
  if (kind === "title") return true;
  const number = /^(\d{1,4})(?:;|$)/.exec(text)?.[1];
  if (number === undefined || !OS_COMMANDS.has(Number(number))) return false;
  return Number(number) !== MESSAGE || isMessage(text);
}

/** To ConEmu a number in front makes a command of a message: start a program, type a variable, run a macro. */
function isMessage(text: string): boolean {
  const [, first = ""] = text.split(";", 2);
  return !/^\s*\d+\s*$/.test(first) || Number(first) === PROGRESS;
}

/** Whether a device control string begins a picture (sixel), which has any length and passes piece by piece. */
export function isPicture(body: Uint8Array): boolean {
  const head = String.fromCharCode(...body.subarray(0, 64));
  return /^[\d;]*q/.test(head);
}
