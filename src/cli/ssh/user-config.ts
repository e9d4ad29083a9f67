/** The user's own ~/.ssh/config: read, and replaced in one step. Links, modes and whatever else is in it stay. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { SbxError } from "../../runtime/errors.ts";

const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** Where ssh looks: it asks the system for the user's home, and not the environment. */
export function userConfigPath(): string {
  return join(userInfo().homedir, ".ssh", "config");
}

/** Empty where there is none. @throws SbxError `file_error` */
export function readUserConfig(filePath: string): string {
  try {
    if ((statSync(filePath, { throwIfNoEntry: false })?.size ?? 0) > MAX_CONFIG_BYTES)
      throw new Error("it is too long");
    // Bytes for characters: what is no UTF-8 comes back as it was.
    return readFileSync(filePath, "latin1");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw new SbxError("file_error", `${filePath} cannot be read`, { cause });
  }
}

/**
 * Replaces what was read by something else.
 *
 * @throws SbxError `file_error`, also where the file is not any more what it was
 */
export function replaceUserConfig(filePath: string, before: string, after: string): void {
  if (before === after) return;
  try {
    mkdirSync(dirname(filePath), { recursive: true, mode: 0o700 });
    const target = existing(filePath) ?? filePath;
    const mode = (statSync(target, { throwIfNoEntry: false })?.mode ?? 0o600) & 0o777;
    const temporaryPath = `${target}.${randomBytes(6).toString("hex")}.tmp`;
    try {
      writeFileSync(temporaryPath, after, { encoding: "latin1", mode: 0o600, flag: "wx" });
      chmodSync(temporaryPath, mode);
      if (readUserConfig(filePath) !== before) throw new Error("another program is changing it");
      renameSync(temporaryPath, target);
    } catch (error) {
      rmSync(temporaryPath, { force: true });
      throw error;
    }
  } catch (cause) {
    throw new SbxError("file_error", `${filePath} cannot be changed`, { cause, hint: "sbx ssh-config --print" });
  }
}

/** The file itself, behind links; a link to nothing is not written through. */
function existing(filePath: string): string | undefined {
  try {
    return realpathSync(filePath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
