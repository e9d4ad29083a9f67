/** SSH into sandboxes of this machine: a key of sbx's own, known hosts, and connections over the supervisors' sockets. */
import path from "node:path";
import type { Duplex } from "node:stream";
import { isLive } from "../../../store/lifecycle.ts";
import { acquireLock } from "../../../store/locks.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type { KeyedSshConnection, SshApi, SshConnection, SshFiles, SshOpenOptions } from "../../ssh.ts";
import type { CallOptions } from "../../types.ts";
import type { LocalState } from "../state.ts";
import { openIdentity } from "./identity.ts";
import { addHost, hasHost, knowsSandbox, removeHosts, type HostLine } from "./known-hosts.ts";
import { sshFilesBelow } from "./ssh-files.ts";
import { openMessageSocket, openSshSocket } from "./upgrade.ts";

const LOCK = "known-hosts";

export interface LocalSshOptions {
  state: LocalState;
  /** @throws SbxError for a sandbox that is not running or paused */
  findReady: (ref: string) => SandboxRow;
}

export class LocalSsh implements SshApi {
  readonly #options: LocalSshOptions;

  constructor(options: LocalSshOptions) {
    this.#options = options;
  }

  async open(ref: string, options: SshOpenOptions): Promise<SshConnection> {
    const { hostName, clientFirst = false, signal } = options;
    throwIfAborted(signal, "connecting to the sandbox");
    const { id, socket: socketPath } = this.#options.findReady(ref);
    const { publicKey } = await openIdentity(this.#directoryPath);
    const { socket, hostKey } = await openSshSocket({ socketPath, publicKey, clientFirst, signal });
    try {
      await this.#pin({ hostName, key: hostKey, sandboxId: id });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return { sandboxId: id, stream: socket };
  }

  async openWithKey(
    ref: string,
    { publicKey, signal }: CallOptions & { publicKey: string },
  ): Promise<KeyedSshConnection> {
    throwIfAborted(signal, "connecting to the sandbox");
    const { id, socket: socketPath } = this.#options.findReady(ref);
    const { socket, hostKey } = await openSshSocket({ socketPath, publicKey, clientFirst: false, signal });
    return { sandboxId: id, stream: socket, hostKey };
  }

  async openMessages(ref: string, { signal }: CallOptions = {}): Promise<Duplex> {
    throwIfAborted(signal, "connecting to the sandbox");
    return openMessageSocket(this.#options.findReady(ref).socket, signal);
  }

  async files(options: CallOptions = {}): Promise<SshFiles> {
    throwIfAborted(options.signal, "looking for the SSH key");
    const { privatePath } = await openIdentity(this.#directoryPath);
    return sshFilesBelow(this.#directoryPath, privatePath);
  }

  async #pin(host: HostLine): Promise<void> {
    if (hasHost(this.#knownHostsPath, host)) return;
    const { database, store } = this.#options.state;
    await using _lock = await acquireLock(database, LOCK);
    addHost(this.#knownHostsPath, host, (id) => isLive(store.get(id)?.status ?? "stopped"));
  }

  get #directoryPath(): string {
    return sshPath(this.#options.state);
  }

  get #knownHostsPath(): string {
    return path.join(this.#directoryPath, "known_hosts");
  }
}

/** What clients know of a sandbox that is gone, they forget. */
export async function forgetHosts(state: LocalState, sandboxId: string): Promise<void> {
  const filePath = path.join(sshPath(state), "known_hosts");
  if (!knowsSandbox(filePath, sandboxId)) return;
  await using _lock = await acquireLock(state.database, LOCK);
  removeHosts(filePath, sandboxId);
}

function sshPath({ paths }: LocalState): string {
  return path.join(paths.dataPath, "ssh");
}
