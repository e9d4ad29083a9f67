/** The user's stored secrets on this machine, and what becomes of them in running sandboxes. */
import { acquireLock } from "../../../store/locks.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { systemKeyring } from "../../../store/secrets/keyring.ts";
import { SecretVault, type StoredSecret } from "../../../store/secrets/vault.ts";
import { throwIfAborted } from "../../abort.ts";
import { SbxError } from "../../errors.ts";
import type { RotatedSandbox, SecretApi, SecretHostRecord, SecretInfo, SecretKeyPlace } from "../../network.ts";
import type { CallerEnvironment, CallOptions, SecretSource } from "../../types.ts";
import { fetchNetwork, sendSecrets } from "../network/network-calls.ts";
import type { LocalState } from "../state.ts";
import { noteEvents } from "../watch/note-events.ts";
import { coversHost } from "./secret-hosts.ts";
import { readSecretSource } from "./secret-sources.ts";

const VAULT_LOCK = "secrets";

export function openVault({ paths, database }: Pick<LocalState, "paths" | "database">): SecretVault {
  return new SecretVault({
    directory: paths.statePath,
    keyring: systemKeyring(),
    lock: async () => acquireLock(database, VAULT_LOCK),
  });
}

export class LocalSecrets implements SecretApi {
  readonly #vault: SecretVault;
  readonly #state: LocalState;

  constructor(state: LocalState, vault: SecretVault) {
    this.#state = state;
    this.#vault = vault;
  }

  async names(options: CallOptions = {}): Promise<{ name: string; hosts: readonly SecretHostRecord[] }[]> {
    throwIfAborted(options.signal, "listing the secrets");
    return (await this.#vault.list()).map(({ name, hosts }) => ({ name, hosts }));
  }

  async list(options: CallOptions = {}): Promise<{ secrets: SecretInfo[]; key: SecretKeyPlace | null }> {
    throwIfAborted(options.signal, "listing the secrets");
    const [stored, key] = [await this.#vault.list(), await this.#vault.keyPlace()];
    const names = key?.problem === null ? stored.map(({ name }) => name) : [];
    const sources = await this.#vault.open(names);
    return { secrets: stored.map((secret) => toInfo(secret, sources.get(secret.name))), key };
  }

  async set(secret: Parameters<SecretApi["set"]>[0], options: CallOptions = {}): Promise<SecretInfo> {
    throwIfAborted(options.signal, "storing the secret");
    const { name, hosts, source } = secret;
    if (source.kind === "value") await readSecretSource(name, source, { environment: {} });
    const stored = await this.#vault.put({ name, hosts: [...hosts], source });
    this.#note("secret.stored", name);
    return toInfo(stored, source);
  }

  async remove(name: string, options: CallOptions = {}): Promise<SecretInfo> {
    throwIfAborted(options.signal, "removing the secret");
    const removed = await this.#vault.remove(name);
    if (removed === undefined) throw notStored(name);
    this.#note("secret.removed", name);
    return toInfo(removed, undefined);
  }

  async rotate(
    name: string,
    wanted: SecretSource | null,
    options: CallOptions & CallerEnvironment = {},
  ): Promise<{ secret: SecretInfo; sandboxes: RotatedSandbox[] }> {
    const stored = await this.#vault.find(name);
    if (stored === undefined) throw notStored(name);
    const source = wanted ?? (await this.#vault.open([name])).get(name);
    if (source === undefined) throw notStored(name);
    if (wanted === null && source.kind === "value") {
      throw new SbxError("usage", `the secret ${name} is a stored value: there is nothing to read anew`, {
        hint: `sbx secret rotate ${name}`,
      });
    }
    const { environment = {}, signal } = options;
    const value = await readSecretSource(name, source, { environment, signal });
    throwIfAborted(signal, "rotating the secret");
    const { hosts } = stored;
    const info = toInfo(await this.#vault.put({ name, hosts, source }), source);
    this.#note("secret.rotated", name);
    const running = this.#state.store.listLive().filter(({ status }) => status === "running");
    const told = await Promise.all(running.map(async (row) => this.#tell(row, stored, value, signal)));
    return { secret: info, sandboxes: told.filter((sandbox) => sandbox !== null) };
  }

  #note(type: "secret.stored" | "secret.rotated" | "secret.removed", name: string): void {
    noteEvents(this.#state, [{ type, subject: { id: name, name } }]);
  }

  /** Returns null for a sandbox that the secret does not concern. */
  async #tell(
    { id, name, socket }: SandboxRow,
    secret: StoredSecret,
    value: string,
    signal: AbortSignal | undefined,
  ): Promise<RotatedSandbox | null> {
    const target = { socketPath: socket, signal };
    try {
      const { secrets } = await fetchNetwork(target);
      const grant = secrets.find((granted) => granted.name === secret.name);
      if (grant === undefined) return null;
      if (!grant.hosts.every((host) => coversHost(secret.hosts, host))) {
        return { id, name, problem: "it has a secret of this name for other hosts" };
      }
      await sendSecrets(target, { values: { [secret.name]: value } });
      return { id, name, problem: null };
    } catch (error) {
      throwIfAborted(signal, "rotating the secret");
      // One that ended meanwhile has nothing to forbid any more.
      if (this.#state.store.get(id)?.status !== "running") return null;
      return { id, name, problem: error instanceof Error ? error.message : String(error) };
    }
  }
}

function toInfo(stored: StoredSecret, source: SecretSource | undefined): SecretInfo {
  const { name, hosts, kind, createdAt, updatedAt } = stored;
  return { name, hosts, source: kind, detail: source === undefined ? null : detailOf(source), createdAt, updatedAt };
}

function detailOf(source: SecretSource): string | null {
  switch (source.kind) {
    case "value":
      return null;
    case "env":
      return source.variable;
    case "command":
      return source.command;
    case "file":
      return source.path;
  }
}

function notStored(name: string): SbxError {
  return new SbxError("secret_not_found", `no secret is stored as ${name}`, { hint: "sbx secret list" });
}
