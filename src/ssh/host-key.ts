/** Host keys: the files that they are in, and how clients know them. */
import { createHash } from "node:crypto";
import keyParser from "ssh2/lib/protocol/keyParser.js";
import { KEY_TYPE } from "./public-key.ts";

export interface HostKey {
  /** In OpenSSH's format. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`. */
  readonly publicKey: string;
  /** `SHA256:…`, as OpenSSH prints it. */
  readonly fingerprint: string;
}

/** Reads the private key; undefined for what is none, is of another kind, or wants a passphrase. */
export function readHostKey(privateKey: string): HostKey | undefined {
  const key = keyParser.parseKey(privateKey);
  if (key instanceof Error || key.type !== KEY_TYPE || !key.isPrivateKey()) return undefined;
  const blob = key.getPublicSSH();
  return {
    privateKey,
    publicKey: `${KEY_TYPE} ${blob.toString("base64")}`,
    fingerprint: `SHA256:${createHash("sha256").update(blob).digest("base64").replaceAll("=", "")}`,
  };
}
