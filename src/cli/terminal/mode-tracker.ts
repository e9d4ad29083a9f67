/**
 * What a guest's output has turned on in the terminal and not off again, and what turns it off. Programs that are
 * killed, or whose sandbox is, leave it behind.
 */
import type { ControlSequence } from "./control-sequences.ts";

/** Private modes that are off in a terminal that nobody has touched: what is on now is turned off in this order. */
const OFF_MODES = [
  2026, // output is held back
  ...[9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016], // mouse and focus reports
  ...[2004, 2031, 2048, 9001], // bracketed paste, reports of theme and size, keys of Windows
  ...[1, 5, 6, 45, 66, 67, 69], // cursor keys, reverse video, origin, wrap backwards, keypad, backspace, margins
];
/** And those that are on: line wrap, the cursor. */
const ON_MODES = [7, 25];
/** The alternate screen. */
const SCREEN_MODES = [47, 1047, 1049];
const PRIVATE_MODES = new Set([...OFF_MODES, ...ON_MODES, ...SCREEN_MODES]);
/** Modes without prefix that are off: a locked keyboard, insert, line feed as new line. */
const ANSI_MODES = new Set([2, 4, 20]);
const MODIFY_OTHER_KEYS = 4;
/** Colours that a sequence below 100 changes and the one 100 above it restores. */
const COLOR_COMMANDS = new Set([4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
/** Choosing a set for one of the four places, or a place for letters (locking shifts). */
const CHARACTER_SETS = /^(?:[()*+].*[^B]|[./-].*|[no])$/;
/** A terminal's stack of keyboard modes is not deeper. */
const MAX_KEYBOARD_DEPTH = 16;

/** What is no mode with a number: colours, the cursor's form, the keypad, keys, the scroll region, characters, a link. */
type Flag = "colors" | "cursor" | "keypad" | "keys" | "region" | "charset" | "link";

export class ModeTracker {
  readonly #private = new Set<number>();
  readonly #ansi = new Set<number>();
  readonly #colors = new Set<number>();
  /** Pushed keyboard modes (kitty's protocol) of the main and the alternate screen, which have a stack each. */
  readonly #keyboard = { main: 0, alternate: 0 };
  readonly #flags = new Set<Flag>();

  /** A control sequence that reaches the terminal. */
  control(sequence: ControlSequence): void {
    const { prefix, params, intermediates, final } = sequence;
    switch (prefix + intermediates + final) {
      case "m":
        this.colors(params.some((code) => code !== 0));
        return;
      case "?h":
      case "?l":
      case "?r":
        for (const mode of params) this.#setPrivate(mode, final);
        return;
      case "h":
      case "l":
        for (const mode of params) if (ANSI_MODES.has(mode)) setMember(this.#ansi, mode, final === "h");
        return;
      case "r":
        this.#flag(
          "region",
          params.some((line) => line !== 0),
        );
        return;
      case " q":
        this.#flag("cursor", params[0] !== 0);
        return;
      default:
        this.#keys(sequence);
    }
  }

  /** Colours and other attributes of text. @param set whether there are any from here on */
  colors(set: boolean): void {
    this.#flag("colors", set);
  }

  /** An escape sequence. @param body intermediates and final byte */
  escape(body: string): void {
    if (body === "c") this.#forget();
    else if (body === "=") this.#flag("keypad", true);
    else if (body === ">") this.#flag("keypad", false);
    else if (CHARACTER_SETS.test(body)) this.#flag("charset", true);
  }

  /** Shift out: the other character set. */
  shiftOut(): void {
    this.#flag("charset", true);
  }

  /** An operating system command. @param body what lies between introducer and terminator */
  command(body: string): void {
    const [number = "", ...rest] = body.split(";", 3);
    const code = Number(number);
    if (code === 8) this.#flag("link", rest[1] !== undefined && rest[1] !== "");
    // A question changes nothing.
    if (COLOR_COMMANDS.has(code) && !body.endsWith("?")) this.#colors.add(code);
    if (COLOR_COMMANDS.has(code - 100)) this.#colors.delete(code - 100);
  }

  /** What puts the terminal right; empty if there is nothing to do. The tracker begins anew. */
  takeReset(): string {
    const text = this.reset;
    this.#forget();
    return text;
  }

  /** What has it as it is now again after a reset, for a program that draws its screen anew. */
  get restoration(): string {
    const modes = [...SCREEN_MODES, ...OFF_MODES, ...ON_MODES].filter((mode) => this.#private.has(mode));
    const parts = modes.map((mode) => `\u001b[?${mode}${ON_MODES.includes(mode) ? "l" : "h"}`);
    if (this.#flags.has("keypad")) parts.push("\u001b=");
    return parts.join("");
  }

  get isOnAlternateScreen(): boolean {
    return SCREEN_MODES.some((mode) => this.#private.has(mode));
  }

  get reset(): string {
    const parts: string[] = [];
    const on = (mode: number): boolean => this.#private.has(mode);
    for (const mode of OFF_MODES.filter(on)) parts.push(`\u001b[?${mode}l`);
    for (const mode of this.#ansi) parts.push(`\u001b[${mode}l`);
    if (this.#keyboard.alternate > 0) parts.push(`\u001b[<${this.#keyboard.alternate}u`);
    if (this.#flags.has("region")) parts.push("\u001b7\u001b[r\u001b8");
    for (const mode of SCREEN_MODES.filter(on)) parts.push(`\u001b[?${mode}l`);
    if (this.#keyboard.main > 0) parts.push(`\u001b[<${this.#keyboard.main}u`);
    for (const mode of ON_MODES.filter(on)) parts.push(`\u001b[?${mode}h`);
    if (this.#flags.has("keypad")) parts.push("\u001b>");
    if (this.#flags.has("keys")) parts.push("\u001b[>4m");
    if (this.#flags.has("cursor")) parts.push("\u001b[0 q");
    if (this.#flags.has("charset")) parts.push("\u001b(B\u000f");
    if (this.#flags.has("link")) parts.push("\u001b]8;;\u001b\\");
    for (const code of this.#colors) parts.push(`\u001b]${code + 100}\u001b\\`);
    if (this.#flags.has("colors")) parts.push("\u001b[0m");
    return parts.join("");
  }

  #setPrivate(mode: number, final: string): void {
    if (!PRIVATE_MODES.has(mode)) return;
    // What is restored (`r`) was saved at some time, and nobody knows how it was.
    const changed = final === "r" || (final === "h") !== ON_MODES.includes(mode);
    setMember(this.#private, mode, changed);
  }

  #keys({ prefix, params, intermediates, final }: ControlSequence): void {
    const name = prefix + intermediates + final;
    if (name === ">m" || name === ">n") {
      if (params[0] === MODIFY_OTHER_KEYS) this.#flag("keys", name === ">m" && (params[1] ?? 0) !== 0);
      return;
    }
    if (final !== "u" || intermediates !== "") return;
    const screen = this.isOnAlternateScreen ? "alternate" : "main";
    const depth = this.#keyboard[screen];
    if (prefix === ">") this.#keyboard[screen] = Math.min(depth + 1, MAX_KEYBOARD_DEPTH);
    if (prefix === "=") this.#keyboard[screen] = Math.max(depth, 1);
    if (prefix === "<") this.#keyboard[screen] = Math.max(depth - Math.max(params[0] ?? 1, 1), 0);
  }

  #flag(name: Flag, on: boolean): void {
    setMember(this.#flags, name, on);
  }

  #forget(): void {
    for (const set of [this.#private, this.#ansi, this.#colors, this.#flags]) set.clear();
    this.#keyboard.main = 0;
    this.#keyboard.alternate = 0;
  }
}

function setMember<T>(set: Set<T>, member: T, isIn: boolean): void {
  if (isIn) set.add(member);
  else set.delete(member);
}
