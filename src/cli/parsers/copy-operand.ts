/**
 * Operands of `sbx copy`: `SANDBOX:PATH`, or a path on this machine. Input comes from the user.
 *
 * As in scp, a colon before the first slash makes it a sandbox; `./a:b` is a file of this machine.
 */
import { parseSandboxRef } from "./names.ts";
import { usageError } from "./usage-error.ts";

export type CopyOperand = { kind: "host"; path: string } | { kind: "guest"; sandbox: string; path: string };

/**
 * Reads one operand. A guest path that is empty means the home directory (`.`, where relative paths begin).
 *
 * @throws SbxError `usage`
 */
export function parseCopyOperand(text: string): CopyOperand {
  if (text === "") {
    throw usageError("an empty path cannot be copied");
  }
  if (text.includes("\0")) {
    throw usageError("a path cannot hold a null byte");
  }
  const match = /^([^/:]*):(.*)$/s.exec(text);
  if (match === null) return { kind: "host", path: text };
  const [, sandbox = "", path = ""] = match;
  if (sandbox === "") {
    throw usageError(
      `${JSON.stringify(text)} does not say which sandbox`,
      `write it as SANDBOX${text}, or ./${text} for a file here`,
    );
  }
  return { kind: "guest", sandbox: parseSandboxRef(sandbox), path: path === "" ? "." : path };
}
