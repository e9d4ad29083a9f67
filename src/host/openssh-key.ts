/** New ed25519 keys in OpenSSH's own format (PROTOCOL.key of OpenSSH), which every SSH client and server reads. */
import { generateKeyPairSync, randomBytes } from "node:crypto";

const TYPE = "ssh-ed25519";
const MAGIC = "openssh-key-v1\0";
const BLOCK_BYTES = 8;
const LINE_CHARS = 70;

export interface OpensshKey {
  /** The file: `-----BEGIN OPENSSH PRIVATE KEY-----` and so on. */
  privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
}

export function makeOpensshKey(comment: string): OpensshKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { x = "", d = "" } = privateKey.export({ format: "jwk" });
  const [publicBytes, seed] = [Buffer.from(x, "base64url"), Buffer.from(d, "base64url")];
  const blob = Buffer.concat([field(TYPE), field(publicBytes)]);
  const check = randomBytes(4);
  const secret = pad(Buffer.concat([check, check, blob, field(Buffer.concat([seed, publicBytes])), field(comment)]));
  const count = Buffer.from([0, 0, 0, 1]);
  const whole = [Buffer.from(MAGIC), field("none"), field("none"), field(""), count, field(blob), field(secret)];
  const lines =
    Buffer.concat(whole)
      .toString("base64")
      .match(new RegExp(`.{1,${LINE_CHARS}}`, "g")) ?? [];
  return {
    privateKey: ["-----BEGIN OPENSSH PRIVATE KEY-----", ...lines, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n"),
    publicKey: `${TYPE} ${blob.toString("base64")}`,
  };
}

/** A string of RFC 4251, section 5. */
function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** To whole blocks, with the numbers from 1 on. */
function pad(bytes: Buffer): Buffer {
  const missing = (BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES;
  return Buffer.concat([bytes, Buffer.from(Array.from({ length: missing }, (_, index) => index + 1))]);
}
