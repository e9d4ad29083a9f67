/** Failures that a request is answered with: errno numbers of Linux, whatever went wrong on this side. */
import { constants } from "node:os";

/** A request fails with this errno. Made for what the server itself decides; system calls throw their own. */
export class FuseError extends Error {
  readonly code: string;
  readonly errno: number;
  constructor(code: keyof typeof constants.errno) {
    super(code);
    this.code = code;
    this.errno = constants.errno[code];
  }
}

/** The errno of anything thrown; EIO for what has none. */
export function errnoOf(error: unknown): number {
  if (error instanceof FuseError) return error.errno;
  const code = codeOf(error);
  const known = code !== undefined && Object.hasOwn(constants.errno, code);
  return known ? constants.errno[code as keyof typeof constants.errno] : constants.errno.EIO;
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
