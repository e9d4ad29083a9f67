/**
 * SSH to sandboxes on a server: what crosses it is encrypted between the SSH client on this machine and the sandbox's own
 * SSH server, with a key of this machine.
 */
import type { Duplex } from "node:stream";
import { CONTROL_PATH } from "../../protocol/control-call.ts";
import { EXTENSIONS_HEADER, EXTENSIONS_VERSION, SANDBOX_ID_HEADER } from "../../protocol/rpc-messages.ts";
import { SSH_HOST_KEY_HEADER, SSH_KEY_HEADER, SSH_PUBLIC_KEY, SSH_UPGRADE } from "../../protocol/ssh-upgrade.ts";
import type { ClientMachine } from "../client-machine.ts";
import type { KeyedSshConnection, SshApi, SshConnection, SshFiles, SshOpenOptions } from "../ssh.ts";
import type { CallOptions } from "../types.ts";
import { wrongAnswer, type ControlClient } from "./control-client.ts";
import { SANDBOX_ID } from "./sandbox-info.ts";
import { unsupported } from "./unsupported.ts";

export class RemoteSsh implements SshApi {
  readonly #client: ControlClient;
  readonly #machine: ClientMachine;

  constructor(client: ControlClient, machine: ClientMachine) {
    this.#client = client;
    this.#machine = machine;
  }

  async open(ref: string, { hostName, signal }: SshOpenOptions): Promise<SshConnection> {
    const local = await this.#machine.openSsh();
    const { sandboxId, stream, hostKey } = await this.openWithKey(ref, {
      publicKey: local.publicKey,
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      local.pin({ hostName, key: hostKey, sandboxId });
      return { sandboxId, stream };
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  async openWithKey(
    ref: string,
    { publicKey, signal }: CallOptions & { publicKey: string },
  ): Promise<KeyedSshConnection> {
    const url = this.#client.endpoints.api(`${CONTROL_PATH}/sandbox/${encodeURIComponent(ref)}/ssh`);
    const fields = { [SSH_KEY_HEADER]: publicKey, [EXTENSIONS_HEADER]: EXTENSIONS_VERSION };
    const { headers, stream, head } = await this.#client.upgrade(url, SSH_UPGRADE, fields, signal);
    const hostKey = headers[SSH_HOST_KEY_HEADER] ?? "";
    const sandboxId = headers[SANDBOX_ID_HEADER] ?? "";
    if (!SSH_PUBLIC_KEY.test(hostKey) || !SANDBOX_ID.test(sandboxId)) {
      stream.destroy();
      throw wrongAnswer(url);
    }
    if (head.length > 0) stream.unshift(head);
    return { sandboxId, stream, hostKey };
  }

  async openMessages(): Promise<Duplex> {
    throw unsupported("SSH without its own transport is for a server beside its sandboxes");
  }

  async files(): Promise<SshFiles> {
    const { directoryPath, identityPath, knownHostsPath, serverKnownHostsPath } = await this.#machine.openSsh();
    return { directoryPath, identityPath, knownHostsPath, serverKnownHostsPath };
  }
}
