/** The host key of the SSH gateway: the operator's, or one that is made once and kept beside the server's records. */
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { writeDurably } from "../../host/durable-file.ts";
import { makeOpensshKey } from "../../host/openssh-key.ts";
import { SbxError } from "../../runtime/errors.ts";
import { readHostKey, type HostKey } from "../../ssh/host-key.ts";

const FILE = "ssh_host_ed25519_key";
const OPEN_TO_OTHERS = 0o077;

/**
 * @param directory of the server's records, which exists
 * @throws SbxError `config_invalid`, `file_error`
 */
export async function openHostKey(directory: string, given: string | null): Promise<HostKey> {
  if (given !== null) return readKey(given);
  const own = path.join(directory, FILE);
  try {
    return readKey(own);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const fresh = `${own}.${randomBytes(6).toString("hex")}`;
  await writeDurably(fresh, makeOpensshKey("sbx").privateKey, 0o600);
  try {
    linkSync(fresh, own);
  } catch (error) {
    // Another server's, which clients may know already.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  return readKey(own);
}

function readKey(file: string): HostKey {
  let text: string;
  try {
    if ((statSync(file).mode & OPEN_TO_OTHERS) !== 0) {
      throw new SbxError("config_invalid", `the SSH host key ${file} can be read by others`, {
        hint: `chmod 600 ${file}`,
      });
    }
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if (cause instanceof SbxError) throw cause;
    throw new SbxError("config_invalid", `the SSH host key ${file} cannot be read`, {
      cause,
      hint: "see docs/control-plane.md",
    });
  }
  const key = readHostKey(text);
  if (key !== undefined) return key;
  throw new SbxError("config_invalid", `${file} is no ed25519 key in OpenSSH's format without a passphrase`, {
    hint: "ssh-keygen -t ed25519 -N '' -f FILE",
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof SbxError && (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
}
