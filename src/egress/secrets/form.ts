/** One form in which a sequence of bytes may stand in a message: parts, each of which can be written in some ways. */

/** One way to write the next part of a form. */
export interface Step {
  /** Compared without regard to the case of letters by whoever takes steps. */
  bytes: Uint8Array;
  /** Part that comes next. */
  to: number;
}

export interface Trial {
  /** Offset behind the longest match; -1 for none. */
  readonly end: number;
  /** How its characters are written: bits of WRITTEN. */
  readonly written: number;
  /** Whether the text ended before it was clear what it is. */
  readonly partial: boolean;
}

export type FormKind = "text" | "hex" | 0 | 1 | 2;

/** Most trials end at the first bytes. */
export const NO_MATCH: Trial = { end: -1, written: 0, partial: false };
export const CUT_OFF: Trial = { end: -1, written: 0, partial: true };

export interface Form {
  /** For base64: where the sequence begins in its group of three bytes. */
  readonly kind: FormKind;
  /** Parts that are written in nothing but known bytes: not those that share a character with a neighbour. */
  readonly wholeParts: { from: number; to: number };
  /** Ways in which it may begin: a part that is not whole has many. */
  firstSteps(): Step[];
  steps(index: number): Step[];
  try(data: Buffer, begin: number): Trial;
  /** Bytes that the last trial looked at, more or less: what it cost. */
  readonly read: number;
}
