/**
 * Tells HTTP from other protocols by its first line, before it is complete. The guest is hostile, and servers accept
 * more than they should (RFC 9112, 2.2 and 3): empty lines first, any whitespace between words, bare CR. What one of
 * them might take for a request is HTTP here; that it is not a good one is for others to say.
 */

/** A longer line that began as a request does is taken for one. Servers have no limit of their own for a method. */
const MAX_LINE_BYTES = 16 * 1024;

const LF = 0x0a;
/** How much of " HTTP/1" may have come with the bytes before. */
const VERSION_OVERLAP_BYTES = 7;
const VERSION = /[ \t\v\f\r]HTTP\/[0-9]/i;

const IS_TOKEN = bytesIn("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
const IS_SPACE = bytesIn(" \t\v\f\r\n");

export type LineVerdict = "more" | "http" | "other";

export class RequestLineScanner {
  #verdict: LineVerdict = "more";
  #at = 0;
  #methodStart = 0;
  #methodEnd: number | undefined;

  /** @param bytes all bytes from the connection's first one on, as {@link ClientHelloScanner.scan} takes them */
  scan(bytes: Buffer): LineVerdict {
    if (this.#verdict === "more")
      this.#verdict = this.#methodEnd === undefined ? this.#scanMethod(bytes) : this.#scanLine(bytes);
    return this.#verdict;
  }

  #scanMethod(bytes: Buffer): LineVerdict {
    for (; this.#at < bytes.length; this.#at++) {
      const byte = bytes[this.#at] ?? 0;
      if (IS_SPACE[byte] === 1 && this.#at === this.#methodStart) {
        this.#methodStart++;
        if (this.#methodStart > MAX_LINE_BYTES) return "http";
      } else if (IS_SPACE[byte] === 1 && byte !== LF) {
        this.#methodEnd = this.#at;
        return this.#scanLine(bytes);
      } else if (IS_TOKEN[byte] !== 1) {
        return "other";
      } else if (this.#at - this.#methodStart >= MAX_LINE_BYTES) {
        return "http";
      }
    }
    return "more";
  }

  #scanLine(bytes: Buffer): LineVerdict {
    const from = Math.max(this.#methodEnd ?? 0, this.#at - VERSION_OVERLAP_BYTES);
    const end = bytes.indexOf(LF, from);
    this.#at = bytes.length;
    if (VERSION.test(bytes.toString("latin1", from, end === -1 ? bytes.length : end))) return "http";
    if (end !== -1) return "other";
    return bytes.length - this.#methodStart > MAX_LINE_BYTES ? "http" : "more";
  }
}

function bytesIn(characters: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of characters) table[character.charCodeAt(0)] = 1;
  return table;
}
