/**
 * The key that stored secrets are encrypted with: in the system's keyring where there is one when the first secret is
 * stored, else in a file of its own beside the vault (0600). Where it is stays as it was decided then.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { writeDurably } from "../../host/durable-file.ts";
import { SbxError } from "../../runtime/errors.ts";
import { KeyringError, type Keyring } from "./keyring.ts";

const KEY_BYTES = 32;
const KEY_TEXT = /^[0-9a-f]{64}$/;

/** Which key it is and where it lies; kept in the vault. */
export interface KeyRecord {
  place: "keyring" | "file";
  /** What the keyring knows it by. */
  id: string;
  /** Tells the key from another one without telling anything about it. */
  fingerprint: string;
}

export interface KeyPlaces {
  keyring: Keyring;
  keyFilePath: string;
}

/** Makes a key and puts it away; the vault that names it is written afterwards. @throws SbxError `disk_full` … */
export async function makeKey({ keyring, keyFilePath }: KeyPlaces): Promise<{ key: Buffer; record: KeyRecord }> {
  const key = randomBytes(KEY_BYTES);
  const id = randomBytes(8).toString("hex");
  const fingerprint = fingerprintOf(key);
  try {
    await keyring.store(id, key.toString("hex"));
    return { key, record: { place: "keyring", id, fingerprint } };
  } catch (error) {
    if (!(error instanceof KeyringError)) throw error;
  }
  await writeDurably(keyFilePath, `${key.toString("hex")}\n`, 0o600);
  return { key, record: { place: "file", id, fingerprint } };
}

/** @throws SbxError `secrets_broken` when the key is not where it was put, or another one is there */
export async function readKey(record: KeyRecord, places: KeyPlaces): Promise<Buffer> {
  const text = record.place === "keyring" ? await fromKeyring(record, places) : await fromFile(places);
  const key = KEY_TEXT.test(text) ? Buffer.from(text, "hex") : undefined;
  if (key === undefined || fingerprintOf(key) !== record.fingerprint) {
    throw broken(`${describePlace(record, places)} holds another key than the stored secrets are encrypted with`);
  }
  return key;
}

/** For a vault that is empty: the next secret gets a new key. */
export async function dropKey(record: KeyRecord, { keyring, keyFilePath }: KeyPlaces): Promise<void> {
  if (record.place === "file") await rm(keyFilePath, { force: true });
  // A key that stays in the keyring opens nothing any more.
  else await keyring.remove(record.id).catch(() => undefined);
}

export function describePlace({ place }: Pick<KeyRecord, "place">, { keyring, keyFilePath }: KeyPlaces): string {
  return place === "keyring" ? keyring.description : keyFilePath;
}

async function fromKeyring({ id }: KeyRecord, { keyring }: KeyPlaces): Promise<string> {
  let text: string | null;
  try {
    text = await keyring.lookup(id);
  } catch (cause) {
    if (!(cause instanceof KeyringError)) throw cause;
    throw broken("the key of the stored secrets is in the system keyring, which cannot be reached", cause);
  }
  if (text === null) throw broken("the key of the stored secrets is not in the system keyring any more");
  return text;
}

async function fromFile({ keyFilePath }: KeyPlaces): Promise<string> {
  try {
    return (await readFile(keyFilePath, "utf8")).trim();
  } catch (cause) {
    throw broken(`the key of the stored secrets, ${keyFilePath}, cannot be read`, cause);
  }
}

function broken(message: string, cause?: unknown): SbxError {
  const hint = "bring the key back; or remove the secrets (sbx secret remove NAME) and set them again";
  return new SbxError("secrets_broken", message, cause === undefined ? { hint } : { hint, cause });
}

/** Of a random key of 256 bits; a plain hash gives nothing away. */
function fingerprintOf(key: Buffer): string {
  return createHash("sha256").update("sbx vault key\0").update(key).digest("hex").slice(0, 16);
}
