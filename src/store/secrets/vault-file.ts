/**
 * The file of stored secrets, `secrets.json` (0600). Names, hosts and the kind of a source are readable; what the source
 * is (a value, a variable, a command line, a path) is sealed with AES-256-GCM. The associated data are name, hosts and
 * kind, so that nobody without the key can give a secret to another host. The file may have been damaged or written by
 * another version of sbx: it is parsed in full before anything of it is believed, and never overwritten unless it was.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { writeDurably } from "../../host/durable-file.ts";
import { SECRET_NAME } from "../../protocol/net-calls.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { SecretSource } from "../../runtime/types.ts";
import type { KeyRecord } from "./vault-key.ts";

const VERSION = 1;
/** Room for every secret that may be stored, at its longest, in base64, `bytes`. */
const MAX_FILE_BYTES = 32 * 1024 ** 2;
const MAX_HOSTS = 100;
export const MAX_STORED_SECRETS = 200;
/** Recommended for GCM (NIST SP 800-38D, 5.2.1.1), `bytes`. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const hostSchema = z.strictObject({
  host: z.string().min(1).max(300),
  port: z.int().min(1).max(65_535).nullable(),
  scheme: z.enum(["http", "https"]),
});

const entrySchema = z.strictObject({
  name: z.string().regex(SECRET_NAME),
  hosts: z.array(hostSchema).min(1).max(MAX_HOSTS),
  kind: z.enum(["value", "env", "command", "file"]),
  createdAt: z.number(),
  updatedAt: z.number(),
  nonce: z.base64(),
  sealed: z.base64(),
});

const vaultSchema = z.strictObject({
  version: z.literal(VERSION),
  key: z
    .strictObject({ place: z.enum(["keyring", "file"]), id: z.string().max(64), fingerprint: z.string().max(64) })
    .nullable(),
  secrets: z.array(entrySchema).max(MAX_STORED_SECRETS),
});

const sourceSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("value"), value: z.string() }),
  z.strictObject({ kind: z.literal("env"), variable: z.string() }),
  z.strictObject({ kind: z.literal("command"), command: z.string() }),
  z.strictObject({ kind: z.literal("file"), path: z.string() }),
]);

export type VaultEntry = z.infer<typeof entrySchema>;

export interface VaultContent {
  /** `null` while nothing has been stored. */
  key: KeyRecord | null;
  secrets: VaultEntry[];
}

/** @throws SbxError `secrets_broken`, `state_newer` */
export async function readVaultFile(file: string): Promise<VaultContent> {
  const text = await readBounded(file);
  if (text === undefined) return { key: null, secrets: [] };
  const value = parseJson(text, file);
  const { version } = value as { version?: unknown };
  if (typeof version === "number" && version > VERSION) {
    throw new SbxError("state_newer", `${file} was written by a later version of sbx`, { hint: "update sbx" });
  }
  const parsed = vaultSchema.safeParse(value);
  // The issues of zod name places, not values.
  if (!parsed.success) throw damaged(file, parsed.error);
  return { key: parsed.data.key, secrets: parsed.data.secrets };
}

export async function writeVaultFile(file: string, content: VaultContent): Promise<void> {
  const text = JSON.stringify({ version: VERSION, ...content }, undefined, 1);
  try {
    await writeDurably(file, `${text}\n`, 0o600);
  } catch (cause) {
    const full = ["ENOSPC", "EDQUOT"].includes((cause as NodeJS.ErrnoException).code ?? "");
    throw new SbxError(full ? "disk_full" : "secrets_broken", `${file} cannot be written`, {
      cause,
      hint: "sbx doctor",
    });
  }
}

type EntryHead = Pick<VaultEntry, "name" | "hosts" | "kind">;

export function sealSource(key: Buffer, head: EntryHead, source: SecretSource): Pick<VaultEntry, "nonce" | "sealed"> {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(head));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(source), "utf8"), cipher.final(), cipher.getAuthTag()]);
  return { nonce: nonce.toString("base64"), sealed: sealed.toString("base64") };
}

/** @throws SbxError `secrets_broken` for an entry that was changed or damaged */
export function unsealSource(key: Buffer, entry: VaultEntry, file: string): SecretSource {
  try {
    const sealed = Buffer.from(entry.sealed, "base64");
    const nonce = Buffer.from(entry.nonce, "base64");
    const end = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(associatedData(entry));
    decipher.setAuthTag(sealed.subarray(end));
    const text = Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]).toString("utf8");
    return sourceSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SbxError("secrets_broken", `the stored secret ${entry.name} in ${file} was damaged or changed`, {
      cause,
      hint: `set it again: sbx secret set ${entry.name} --host ${entry.hosts[0]?.host ?? "HOST"}`,
    });
  }
}

function associatedData({ name, hosts, kind }: EntryHead): Buffer {
  const facts = hosts.map(({ host, port, scheme }) => [host, port, scheme]);
  return Buffer.from(JSON.stringify(["sbx secret", VERSION, name, kind, facts]));
}

async function readBounded(file: string): Promise<string | undefined> {
  try {
    if ((await stat(file)).size > MAX_FILE_BYTES) throw new Error(`it has more than ${MAX_FILE_BYTES} bytes`);
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw damaged(file, error);
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // V8's message would quote what is in the file.
  }
  throw damaged(file, new Error("it is not JSON"));
}

function damaged(file: string, cause: unknown): SbxError {
  return new SbxError("secrets_broken", `the file of stored secrets, ${file}, cannot be read`, {
    cause,
    hint: `bring it back from a copy, or begin anew: mv ${file} ${file}.damaged`,
  });
}
