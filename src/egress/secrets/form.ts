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
  end: number;
  /** How its characters are written: bits of WRITTEN. */
  written: number;
  /** Whether the text ended before it was clear what it is. */
  partial: boolean;
}

export interface Form {
  readonly kind: "text" | "base64" | "hex";
  /** Number of parts. */
  readonly length: number;
  /** Bytes that it may begin with. */
  firstBytes(): number[];
  steps(index: number): Step[];
  try(data: Buffer, begin: number): Trial;
}
