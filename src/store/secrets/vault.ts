/**
 * Secrets at rest. Two files in the state directory: the vault and, where there is no keyring, its key. Changes are made
 * under a lock and replace the vault in one step; readers need no lock.
 */
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import type { SecretSource } from "../../runtime/types.ts";
import type { Keyring } from "./keyring.ts";
import { describePlace, dropKey, makeKey, readKey, type KeyPlaces } from "./vault-key.ts";
import {
  MAX_STORED_SECRETS,
  readVaultFile,
  sealSource,
  unsealSource,
  writeVaultFile,
  type VaultContent,
  type VaultEntry,
} from "./vault-file.ts";

export const VAULT_NAME = "secrets.json";
export const KEY_NAME = "secrets.key";

/** What is known of a stored secret without the key. */
export type StoredSecret = Pick<VaultEntry, "name" | "hosts" | "kind" | "createdAt" | "updatedAt">;

export interface VaultOptions {
  /** The state directory (0700). */
  directory: string;
  keyring: Keyring;
  /** Keeps other processes from changing the vault. */
  lock: () => Promise<AsyncDisposable>;
  now?: () => number;
}

export class SecretVault {
  readonly #file: string;
  readonly #places: KeyPlaces;
  readonly #lock: VaultOptions["lock"];
  readonly #now: () => number;

  constructor(options: VaultOptions) {
    this.#file = path.join(options.directory, VAULT_NAME);
    this.#places = { keyring: options.keyring, keyFilePath: path.join(options.directory, KEY_NAME) };
    this.#lock = options.lock;
    this.#now = options.now ?? Date.now;
  }

  /** All, by name. Needs no key. @throws SbxError `secrets_broken`, `state_newer` */
  async list(): Promise<StoredSecret[]> {
    const { secrets } = await readVaultFile(this.#file);
    return secrets.map(toStored).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async find(name: string): Promise<StoredSecret | undefined> {
    return (await this.list()).find((secret) => secret.name === name);
  }

  /** The sources of those names that are stored. @throws SbxError `secrets_broken`, also without the key */
  async open(names: readonly string[]): Promise<Map<string, SecretSource>> {
    const { key, secrets } = await readVaultFile(this.#file);
    const wanted = secrets.filter(({ name }) => names.includes(name));
    if (wanted.length === 0 || key === null) return new Map();
    const opened = await readKey(key, this.#places);
    return new Map(wanted.map((entry) => [entry.name, unsealSource(opened, entry, this.#file)]));
  }

  /** Stores a secret, in the place of one of the same name. @throws SbxError `secrets_broken`, `disk_full` */
  async put({
    name,
    hosts,
    source,
  }: Pick<VaultEntry, "name" | "hosts"> & { source: SecretSource }): Promise<StoredSecret> {
    await using _lock = await this.#lock();
    const content = await readVaultFile(this.#file);
    const others = content.secrets.filter((secret) => secret.name !== name);
    if (others.length >= MAX_STORED_SECRETS) {
      throw new SbxError("usage", `there is room for ${MAX_STORED_SECRETS} stored secrets`, {
        hint: "sbx secret list",
      });
    }
    const { key, record } =
      content.key === null
        ? await makeKey(this.#places)
        : { key: await readKey(content.key, this.#places), record: content.key };
    const now = this.#now();
    const head = { name, hosts, kind: source.kind };
    const entry: VaultEntry = {
      ...head,
      createdAt: content.secrets.find((secret) => secret.name === name)?.createdAt ?? now,
      updatedAt: now,
      ...sealSource(key, head, source),
    };
    await writeVaultFile(this.#file, { key: record, secrets: [...others, entry] });
    return toStored(entry);
  }

  /** Needs no key: what cannot be opened any more can still be removed. Returns undefined if it is not there. */
  async remove(name: string): Promise<StoredSecret | undefined> {
    await using _lock = await this.#lock();
    const content = await readVaultFile(this.#file);
    const entry = content.secrets.find((secret) => secret.name === name);
    if (entry === undefined) return undefined;
    const secrets = content.secrets.filter((secret) => secret !== entry);
    const left: VaultContent = { key: secrets.length === 0 ? null : content.key, secrets };
    await writeVaultFile(this.#file, left);
    if (left.key === null && content.key !== null) await dropKey(content.key, this.#places);
    return toStored(entry);
  }

  /** Where the key is, and why it cannot be had, if so. `null` before the first secret. */
  async keyPlace(): Promise<{ kind: "keyring" | "file"; description: string; problem: string | null } | null> {
    const { key } = await readVaultFile(this.#file);
    if (key === null) return null;
    const place = { kind: key.place, description: describePlace(key, this.#places) };
    try {
      await readKey(key, this.#places);
      return { ...place, problem: null };
    } catch (error) {
      if (!(error instanceof SbxError)) throw error;
      const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
      return { ...place, problem: `${error.message}${cause}` };
    }
  }
}

function toStored({ name, hosts, kind, createdAt, updatedAt }: VaultEntry): StoredSecret {
  return { name, hosts, kind, createdAt, updatedAt };
}
