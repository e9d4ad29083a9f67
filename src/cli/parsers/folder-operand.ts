/**
 * What `--copy` and `--mount` take: `HOSTPATH`, `HOSTPATH:/path`, `HOSTDIR:/path:ro`. Input comes from the user.
 *
 * The last `:/` divides: a path in the sandbox is absolute, and so begins with a slash. `./a:b` is a file of this
 * machine.
 */
import { quoteValue, usageError } from "./usage-error.ts";

export interface FolderOperand {
  hostPath: string;
  /** `null` where there is none. */
  guestPath: string | null;
  access: "copy" | "read-only" | "read-write";
}

/** @throws SbxError `usage` */
export function parseFolderOperand(text: string): FolderOperand {
  if (text.includes("\0")) throw usageError("a path cannot hold a null byte");
  const [, operand = "", suffix] = /^(.*?)(?::(ro|rw))?$/s.exec(text) ?? [];
  const at = operand.lastIndexOf(":/");
  const hostPath = at < 0 ? operand : operand.slice(0, at);
  const guestPath = at < 0 ? null : operand.slice(at + 1);
  if (hostPath === "") throw usageError(`${quoteValue(text)} names nothing of this machine`, "HOSTDIR:/path");
  if (guestPath === null && suffix !== undefined) return { hostPath: text, guestPath: null, access: "copy" };
  return { hostPath, guestPath, access: accessOf(suffix) };
}

function accessOf(suffix: string | undefined): FolderOperand["access"] {
  if (suffix === undefined) return "copy";
  return suffix === "ro" ? "read-only" : "read-write";
}
