/** The key that SSH clients on this machine have: made once, readable for its user only. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { makeOpensshKey } from "../../../host/openssh-key.ts";
import { SbxError } from "../../errors.ts";

const FILE = "id_ed25519";

export interface Identity {
  privatePath: string;
  /** `ssh-ed25519 AAAA…`. */
  publicKey: string;
}

/** Finds the key, or makes it. Two commands that make it at once agree on one. */
export async function openIdentity(sshPath: string): Promise<Identity> {
  const directory = path.join(sshPath, "identity");
  const privatePath = path.join(directory, FILE);
  const publicPath = `${privatePath}.pub`;
  if (!existsSync(publicPath)) await makeIdentity(sshPath, directory);
  try {
    const publicKey = readFileSync(publicPath, "utf8").trim().split(" ").slice(0, 2).join(" ");
    return { privatePath, publicKey };
  } catch (cause) {
    throw new SbxError("file_error", `sbx's SSH key ${publicPath} cannot be read`, {
      cause,
      hint: `rm -r ${directory}`,
    });
  }
}

async function makeIdentity(sshPath: string, directory: string): Promise<void> {
  await mkdir(sshPath, { recursive: true, mode: 0o700 });
  const fresh = await mkdtemp(path.join(sshPath, ".identity-"));
  const { privateKey, publicKey } = makeOpensshKey("sbx");
  await writeFile(path.join(fresh, FILE), privateKey, { mode: 0o600 });
  await writeFile(path.join(fresh, `${FILE}.pub`), `${publicKey} sbx\n`, { mode: 0o600 });
  try {
    // Both files at once; refused where another command's are there already.
    await rename(fresh, directory);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!existsSync(path.join(directory, FILE))) throw error;
  }
}
