/**
 * Secret variables of apps at rest: sealed with AES-256-GCM under a key of their own, which is in the system's keyring or
 * in a file beside the database (secrets/vault-key.ts). A sealed value may be copied from an app to its revisions.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { SbxError } from "../../runtime/errors.ts";
import type { Keyring } from "../secrets/keyring.ts";
import { makeKey, readKey, type KeyPlaces, type KeyRecord } from "../secrets/vault-key.ts";

const KEY_NAME = "apps.key";
/** Recommended for GCM (NIST SP 800-38D, 5.2.1.1), `bytes`. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ASSOCIATED_DATA = Buffer.from("sbx app variable 1");

const recordSchema = z.object({
  ...{ place: z.enum(["keyring", "file"]), id: z.string().max(64), fingerprint: z.string().max(64) },
});

export interface SealedValuesOptions {
  database: DatabaseSync;
  /** Where the key is if there is no keyring. */
  directory: string;
  keyring: Keyring;
  /** Held while the key is made. */
  lock: () => Promise<AsyncDisposable>;
}

export class SealedValues {
  readonly #options: SealedValuesOptions;
  readonly #places: KeyPlaces;

  constructor(options: SealedValuesOptions) {
    this.#options = options;
    this.#places = { keyring: options.keyring, keyFilePath: path.join(options.directory, KEY_NAME) };
  }

  /** What seals a value; makes the key if there is none yet. @throws SbxError `secrets_broken`, `disk_full` */
  async sealer(): Promise<(value: string) => string> {
    const key = await this.#ensureKey();
    return (value) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(ASSOCIATED_DATA);
      const sealed = [nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()];
      return Buffer.concat(sealed).toString("base64");
    };
  }

  /** @throws SbxError `secrets_broken` */
  async open(sealed: string): Promise<string> {
    const record = this.#record();
    if (record === undefined) throw damaged();
    const key = await readKey(record, this.#places);
    try {
      const bytes = Buffer.from(sealed, "base64");
      const end = bytes.length - TAG_BYTES;
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(ASSOCIATED_DATA);
      decipher.setAuthTag(bytes.subarray(end));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, end)), decipher.final()]).toString("utf8");
    } catch (cause) {
      throw damaged(cause);
    }
  }

  async #ensureKey(): Promise<Buffer> {
    const known = this.#record();
    if (known !== undefined) return readKey(known, this.#places);
    await using _lock = await this.#options.lock();
    const meanwhile = this.#record();
    if (meanwhile !== undefined) return await readKey(meanwhile, this.#places);
    const { key, record } = await makeKey(this.#places);
    this.#options.database.prepare("INSERT INTO app_keys (id, record) VALUES (1, ?)").run(JSON.stringify(record));
    return key;
  }

  #record(): KeyRecord | undefined {
    const row = this.#options.database.prepare("SELECT record FROM app_keys WHERE id = 1").get();
    if (row === undefined) return undefined;
    try {
      return recordSchema.parse(JSON.parse(String(row.record)));
    } catch (cause) {
      throw damaged(cause);
    }
  }
}

function damaged(cause?: unknown): SbxError {
  return new SbxError("secrets_broken", "a secret variable of an app was damaged or changed where it is stored", {
    ...(cause === undefined ? {} : { cause }),
    hint: "set it again: sbx app env APP --secret NAME",
  });
}
