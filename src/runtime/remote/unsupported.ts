/** What cannot be had of a server, said in one way. Nothing ever falls back to this machine. */
import { SbxError } from "../errors.ts";

/** @param what with its verb, such as `images cannot be built on a server` */
export function unsupported(what: string, hint?: string): SbxError {
  return new SbxError("unsupported", what, hint === undefined ? {} : { hint });
}
