/** The error that every argument parser throws: exit status 2, with the value in the message and the way out as hint. */
import { SbxError } from "../../runtime/errors.ts";

/** The longest piece of an argument that an error message repeats, characters. */
const QUOTED_LENGTH = 80;

export function usageError(message: string, hint?: string): SbxError {
  return new SbxError("usage", message, hint === undefined ? {} : { hint });
}

/** A user's value for an error message: quoted, and cut where it is long. */
export function quoteValue(text: string): string {
  return JSON.stringify(text.length > QUOTED_LENGTH ? `${text.slice(0, QUOTED_LENGTH)}…` : text);
}
