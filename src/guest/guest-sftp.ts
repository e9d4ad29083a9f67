/** An SFTP server of the agent's own, for guests that have none. What it sends is hostile, and not looked at here. */
import type { Duplex } from "node:stream";
import { GuestSocket } from "./guest-socket.ts";
import type { AgentLink } from "./link.ts";

export interface SftpOptions {
  /** Account whose rights the server has. */
  user: string;
  /** Where relative paths begin: the account's home. Absolute. */
  cwd: string;
  env: Record<string, string>;
  signal?: AbortSignal;
}

/**
 * Starts an SFTP server in the guest, which needs none of its own, and returns the connection to it. Ending the
 * connection ends the server.
 *
 * @throws AgentError such as EINVAL for an account that there is not, ENOENT for a directory that there is not
 */
export async function openGuestSftp(link: AgentLink, { signal, ...params }: SftpOptions): Promise<Duplex> {
  const readable = link.openReadable();
  const writable = link.openWritable();
  const streams = { stdin: writable.streamId, stdout: readable.streamId, stderr: null };
  try {
    await link.call("sftp", { ...params, ...streams }, signal === undefined ? {} : { signal });
  } catch (error) {
    readable.destroy();
    writable.destroy();
    throw error;
  }
  return new GuestSocket(readable, writable);
}
