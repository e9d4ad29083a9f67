/** The error of everything here that reads what a user wrote: exit status 2, the value and why in its message. */
import { SbxError } from "../runtime/errors.ts";

/** The longest piece of a value that an error message repeats, characters. */
const QUOTED_LENGTH = 80;

export function usageError(message: string, hint?: string): SbxError {
  return new SbxError("usage", message, hint === undefined ? {} : { hint });
}

/** A value for an error message: quoted, on one line, and cut where it is long. */
export function quoteValue(text: string): string {
  const cut = text.length > QUOTED_LENGTH ? `${text.slice(0, QUOTED_LENGTH)}…` : text;
  return JSON.stringify(cut).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
