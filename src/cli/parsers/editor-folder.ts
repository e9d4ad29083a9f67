/** The folder that an editor opens in a sandbox. Input comes from the user. */
import { quoteValue, usageError } from "./usage-error.ts";

const MAX_PATH_BYTES = 4096;

/** @throws SbxError `usage` for what is no absolute path */
export function parseEditorFolder(text: string): string {
  if (text.startsWith("/") && !text.includes("\0") && Buffer.byteLength(text) <= MAX_PATH_BYTES) return text;
  throw usageError(
    `${quoteValue(text)} is not a folder of the sandbox`,
    "give an absolute path, such as /app or /home/app/project",
  );
}
