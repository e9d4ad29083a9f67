/**
 * Finds control sequences (ECMA-48, and what xterm made of it) in bytes that a guest chose. A sequence is taken whole or
 * not at all, so that what follows can be judged, and never leaves the terminal in the middle of one.
 *
 * It is about terminals that decode UTF-8: there the 8-bit controls are U+0080 to U+009F, which take two bytes, as the
 * escape forms do.
 */

/** What a control sequence begins with decides how far it goes. */
export type SequenceKind =
  /** `ESC` and a letter, perhaps with intermediates between. */
  | "escape"
  /** Control sequence: parameters, intermediates, a final byte. */
  | "csi"
  /** Operating system command: a number, text. */
  | "osc"
  /** Device control string. */
  | "dcs"
  /** Privacy message, application program command, start of string. */
  | "string"
  /** The window title of `screen` and tmux. */
  | "title";

export type Scan =
  /** `bodyEnd` is where the final byte of an escape or control sequence is, or the terminator of a string begins. */
  | { result: "complete"; kind: SequenceKind; end: number; bodyEnd: number }
  /** Bytes are missing. */
  | { result: "partial" }
  /** Not a sequence: what lies before `end` is nothing that a terminal should see. */
  | { result: "broken"; end: number }
  /** Longer than any that is worth to be kept. */
  | { result: "oversize"; kind: SequenceKind; end: number };

export const ESC = 0x1b;
/** First byte of U+0080 to U+00BF. */
export const C1_LEAD = 0xc2;
const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const BACKSLASH = 0x5c;
/** String terminator, behind {@link C1_LEAD}. */
const ST_TAIL = 0x9c;
/** Both forms of an introducer have this many bytes. */
export const INTRODUCER_BYTES = 2;

/** Longest escape or control sequence; long colour lists have some 100 bytes. */
const MAX_SEQUENCE_BYTES = 512;
/** Longest string that is kept to be judged: an address in a hyperlink has 2 KiB at most. */
export const MAX_STRING_BYTES = 4096;

const KINDS: Readonly<Record<string, SequenceKind>> = {
  "[": "csi",
  "]": "osc",
  P: "dcs",
  X: "string",
  "^": "string",
  _: "string",
  k: "title",
};

/**
 * Looks at the sequence that begins at `start`, where there is an ESC, or {@link C1_LEAD} in front of a control.
 */
export function scanSequence(bytes: Uint8Array, start: number): Scan {
  const second = bytes[start + 1];
  if (second === undefined) return { result: "partial" };
  const isC1 = bytes[start] === C1_LEAD;
  const letter = String.fromCharCode(isC1 ? second - 0x40 : second);
  // There is no 8-bit form of screen's title.
  const kind = isC1 && letter === "k" ? undefined : KINDS[letter];
  if (kind === "csi") return scanControl(bytes, start + INTRODUCER_BYTES, "csi");
  if (kind !== undefined) return scanString(bytes, start, kind);
  if (isC1) return { result: "complete", kind: "escape", end: start + 2, bodyEnd: start + 1 };
  return scanControl(bytes, start + 1, "escape");
}

/** Parameters (of a control sequence only) and intermediates up to the final byte. */
function scanControl(bytes: Uint8Array, from: number, kind: "csi" | "escape"): Scan {
  let at = from;
  const most = from + MAX_SEQUENCE_BYTES;
  if (kind === "csi") while (at < most && isBetween(bytes[at], 0x30, 0x3f)) at++;
  while (at < most && isBetween(bytes[at], 0x20, 0x2f)) at++;
  if (at === most) return { result: "broken", end: at };
  const final = bytes[at];
  if (final === undefined) return { result: "partial" };
  if (!isBetween(final, kind === "csi" ? 0x40 : 0x30, 0x7e)) return { result: "broken", end: at };
  return { result: "complete", kind, end: at + 1, bodyEnd: at };
}

function scanString(bytes: Uint8Array, start: number, kind: SequenceKind): Scan {
  const stop = findStringEnd(bytes, start + INTRODUCER_BYTES, kind);
  const most = start + MAX_STRING_BYTES;
  if (stop.result === "aborted") return { result: "broken", end: stop.end };
  if (stop.result === "terminated") {
    const { end, bodyEnd } = stop;
    return bodyEnd <= most ? { result: "complete", kind, end, bodyEnd } : { result: "oversize", kind, end: bodyEnd };
  }
  // The last byte may be half of the terminator.
  return bytes.length <= most + 1 ? { result: "partial" } : { result: "oversize", kind, end: stop.end };
}

export type StringEnd =
  | { result: "terminated"; bodyEnd: number; end: number }
  /** Cancelled, or another sequence begins in its middle; that one is at `end`. */
  | { result: "aborted"; end: number }
  /** It goes on; what lies before `end` belongs to it. */
  | { result: "open"; end: number };

/** Looks for the end of a string of this kind. */
export function findStringEnd(bytes: Uint8Array, from: number, kind: SequenceKind): StringEnd {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === BEL && kind === "osc") return { result: "terminated", bodyEnd: at, end: at + 1 };
    if (byte === CAN || byte === SUB) return { result: "aborted", end: at + 1 };
    if (byte !== ESC && byte !== C1_LEAD) continue;
    const next = bytes[at + 1];
    if (next === undefined) return { result: "open", end: at };
    if (byte === C1_LEAD ? next === ST_TAIL : next === BACKSLASH) {
      return { result: "terminated", bodyEnd: at, end: at + 2 };
    }
    if (byte === ESC) return { result: "aborted", end: at };
  }
  return { result: "open", end: bytes.length };
}

function isBetween(byte: number | undefined, low: number, high: number): boolean {
  return byte !== undefined && byte >= low && byte <= high;
}

/** A control sequence in its parts. */
export interface ControlSequence {
  /** One of `<=>?`, or empty. */
  prefix: string;
  /** Numbers; 0 where one is left out. Of parameters with colons the first. */
  params: number[];
  intermediates: string;
  final: string;
}

const PARTS = /^([<=>?]*)([\d;:]*)([ -/]*)([@-~])$/;

/** Takes the body of a control sequence apart; undefined for one that no terminal knows. */
export function parseControl(body: string): ControlSequence | undefined {
  const parts = PARTS.exec(body);
  if (parts === null) return undefined;
  const [, prefix = "", numbers = "", intermediates = "", final = ""] = parts;
  const params = numbers.split(";").map((text) => Number.parseInt(text, 10) || 0);
  return { prefix, params, intermediates, final };
}
