/**
 * Glob syntax as std/path of Deno defines it, turned into regular expressions: `*`, `?`, `[…]`, `{a,b}`, and with
 * `extended` also `?(…)`, `*(…)`, `+(…)`, `@(…)`, `!(…)`. A segment that does not parse stands for itself. The
 * expressions may be slow on purpose: they run under PatternMatcher only.
 */

/** Groups within groups; a segment that nests deeper stands for itself. */
const MAX_NESTING = 64;
const EXTENDED_SUFFIX: Readonly<Record<string, string>> = { "?": ")?", "*": ")*", "+": ")+", "@": ")", "!": ")[^/]*" };
const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7F",
  blank: "\\t ",
  cntrl: "\\x00-\\x1F\\x7F",
  digit: "0-9",
  graph: "\\x21-\\x7E",
  lower: "a-z",
  print: "\\x20-\\x7E",
  punct: "!\"#$%&'()*+,\\-.\\/:;<=>?@[\\\\\\]^_`{|}~",
  space: "\\s\\v",
  upper: "A-Z",
  word: "\\w",
  xdigit: "0-9A-Fa-f",
};

export interface GlobOptions {
  extended: boolean;
  globstar: boolean;
}

/** Source of an expression for one name. */
export function segmentToPattern(segment: string, options: GlobOptions): string {
  return `^${compileSegment(segment, options)}$`;
}

/** Source of an expression for a whole path: `**` as a segment stands for any number of them. */
export function pathToPattern(glob: string, options: GlobOptions): string {
  const segments = glob.split("/").filter((segment) => segment !== "");
  const parts = segments.map((segment, at) => {
    const isLast = at === segments.length - 1;
    if (segment === "**" && options.globstar) return isLast ? "[^]*" : "(?:[^/]+/+)*";
    return compileSegment(segment, options) + (isLast ? "" : "/+");
  });
  return `^${glob.startsWith("/") ? "/+" : ""}${parts.join("")}/*$`;
}

/** The name that a segment stands for if it has nothing special in it, else undefined. */
export function literalSegment(segment: string, options: GlobOptions): string | undefined {
  if (segment === "**") return undefined;
  const literal = unescape(segment);
  return compileSegment(segment, options) === escapeText(literal) ? literal : undefined;
}

function compileSegment(segment: string, options: GlobOptions): string {
  const parser = new SegmentParser(segment, options.extended);
  return parser.parse() ?? escapeText(unescape(segment));
}

class SegmentParser {
  readonly #text: string;
  readonly #extended: boolean;
  #at = 0;
  #nesting = 0;
  #isBroken = false;

  constructor(text: string, extended: boolean) {
    this.#text = text;
    this.#extended = extended;
  }

  /** Undefined if a group or range is not closed. */
  parse(): string | undefined {
    const source = this.#sequence("");
    return this.#isBroken ? undefined : source;
  }

  /** Up to one of the terminators, which is left in place, or to the end. */
  #sequence(terminators: string): string {
    let source = "";
    while (this.#at < this.#text.length && !this.#isBroken) {
      const char = this.#text.charAt(this.#at);
      if (terminators.includes(char)) return source;
      source += this.#item(char);
    }
    return source;
  }

  #item(char: string): string {
    if (char === "\\" && this.#at + 1 < this.#text.length) {
      this.#at += 2;
      return escapeText(this.#text.charAt(this.#at - 1));
    }
    const suffix = EXTENDED_SUFFIX[char];
    if (this.#extended && suffix !== undefined && this.#text[this.#at + 1] === "(") {
      this.#at += 2;
      return (char === "!" ? "(?!" : "(?:") + this.#alternatives("|", ")") + suffix;
    }
    this.#at++;
    switch (char) {
      case "*":
        while (this.#text[this.#at] === "*") this.#at++;
        return "[^/]*";
      case "?":
        return "[^/]";
      case "[":
        return this.#range();
      case "{":
        return `(?:${this.#alternatives(",", "}")})`;
      default:
        return escapeText(char);
    }
  }

  #alternatives(separator: string, end: string): string {
    const sources: string[] = [];
    this.#nesting++;
    for (;;) {
      sources.push(this.#nesting > MAX_NESTING ? this.#break() : this.#sequence(separator + end));
      const stop = this.#text[this.#at++];
      if (this.#isBroken || stop === undefined) return this.#break();
      if (stop === end) break;
    }
    this.#nesting--;
    return sources.join("|");
  }

  #range(): string {
    let source = "[";
    if (this.#text[this.#at] === "!" || this.#text[this.#at] === "^") {
      source += "^";
      this.#at++;
    }
    const begin = this.#at;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) return this.#break();
      const posixClass = /^\[:([a-z]+):\]/.exec(this.#text.slice(this.#at, this.#at + 16));
      const chars = posixClass === null ? undefined : POSIX_CLASSES[posixClass[1] ?? ""];
      if (char === "]" && this.#at > begin) break;
      if (posixClass !== null && chars !== undefined) {
        source += chars;
        this.#at += posixClass[0].length;
        continue;
      }
      this.#at++;
      source += char === "-" ? char : escapeText(char === "\\" ? (this.#text[this.#at++] ?? "\\") : char);
    }
    this.#at++;
    return `${source}]`;
  }

  #break(): string {
    this.#isBroken = true;
    return "";
  }
}

function unescape(segment: string): string {
  return segment.replaceAll(/\\([^])/g, "$1");
}

function escapeText(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
