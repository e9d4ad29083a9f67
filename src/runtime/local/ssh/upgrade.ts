/** Opens an SSH connection at a supervisor's socket. */
import type { Socket } from "node:net";
import {
  SSH_FIRST_HEADER,
  SSH_HOST_KEY_HEADER,
  SSH_KEY_HEADER,
  SSH_MESSAGES_UPGRADE,
  SSH_TARGET,
  SSH_UPGRADE,
} from "../../../protocol/ssh-upgrade.ts";
import { SbxError } from "../../errors.ts";
import { openUpgrade } from "../supervisor-upgrade.ts";

export interface UpgradeOptions {
  socketPath: string;
  /** The client's, `ssh-ed25519 AAAA…`. */
  publicKey: string;
  clientFirst: boolean;
  signal: AbortSignal | undefined;
}

export interface Upgraded {
  socket: Socket;
  /** The server's, of the same form. */
  hostKey: string;
}

/** @throws SbxError `supervisor_lost`, what the supervisor refused it with, `aborted` */
export async function openSshSocket(options: UpgradeOptions): Promise<Upgraded> {
  const { socketPath, publicKey, clientFirst, signal } = options;
  const fields = [`${SSH_KEY_HEADER}: ${publicKey}`, ...(clientFirst ? [`${SSH_FIRST_HEADER}: client`] : [])];
  const opened = await openUpgrade({ socketPath, target: SSH_TARGET, upgrade: SSH_UPGRADE, fields, signal });
  const socket = readable(opened);
  const hostKey = /^x-sbx-ssh-host-key: (ssh-ed25519 [A-Za-z0-9+/]+=*)\r?$/im.exec(opened.head)?.[1];
  if (hostKey !== undefined) return { socket, hostKey };
  socket.destroy();
  throw new SbxError("supervisor_lost", "the sandbox's supervisor does not answer", {
    cause: new Error(`an answer without ${SSH_HOST_KEY_HEADER}`),
    hint: "sbx list",
  });
}

/** For messages in frames. @throws SbxError as {@link openSshSocket} */
export async function openMessageSocket(socketPath: string, signal: AbortSignal | undefined): Promise<Socket> {
  return readable(await openUpgrade({ socketPath, target: SSH_TARGET, upgrade: SSH_MESSAGES_UPGRADE, signal }));
}

/** With what was read of it already. */
function readable({ socket, behind }: { socket: Socket; behind: Buffer }): Socket {
  if (behind.length > 0) socket.unshift(behind);
  return socket;
}
