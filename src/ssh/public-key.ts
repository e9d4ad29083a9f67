/** Public keys of the kind that the door knows, ssh-ed25519 (RFC 8709), and signatures by them. */
import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { PayloadReader, ProtocolError } from "./payload.ts";

export const KEY_TYPE = "ssh-ed25519";
const KEY_BYTES = 32;
/** `ssh-ed25519 AAAA… comment`. */
const LINE = /^ssh-ed25519 ([A-Za-z0-9+/]{64,128}={0,2})(?: [^\n]*)?$/;

export interface PublicKey {
  /** As it travels in messages. */
  readonly blob: Buffer;
  readonly key: KeyObject;
}

/** Reads a line such as those in `authorized_keys`; undefined if it is none, or has a key of another kind. */
export function parsePublicKey(line: string): PublicKey | undefined {
  const [, base64] = LINE.exec(line) ?? [];
  if (base64 === undefined) return undefined;
  const blob = Buffer.from(base64, "base64");
  try {
    const reader = new PayloadReader(blob, 0);
    if (reader.text(KEY_TYPE.length) !== KEY_TYPE) return undefined;
    const bytes = reader.bytes(KEY_BYTES);
    if (bytes.length !== KEY_BYTES || reader.hasMore) return undefined;
    return {
      blob,
      key: createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") }, format: "jwk" }),
    };
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** Whether a signature as it travels in messages is the key's, of these bytes. */
export function isSignedBy({ key }: PublicKey, signature: Buffer, signed: Buffer): boolean {
  const reader = new PayloadReader(signature, 0);
  if (reader.text(KEY_TYPE.length) !== KEY_TYPE) return false;
  return verify(null, signed, key, reader.bytes());
}
