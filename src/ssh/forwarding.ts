/** Connections of the client's that end in the guest: `-L`, `-D`, `-J`, and Unix sockets. */
import { finished } from "node:stream/promises";
import type { Channel } from "./channel.ts";
import type { SshAccount, SshAddress, SshGuest } from "./guest.ts";

export interface ForwardingOptions {
  guest: SshGuest;
  account: SshAccount;
  address: SshAddress;
  /** Fires when the connection is over. */
  signal: AbortSignal;
  /** Makes the channel, once the guest's server has been reached. */
  make: () => Channel;
  failed: (text: string) => void;
}

/** Never rejects. */
export async function openForwarding({
  guest,
  account,
  address,
  signal,
  make,
  failed,
}: ForwardingOptions): Promise<void> {
  let socket;
  try {
    socket = await guest.connect(address, account, signal);
  } catch (error) {
    failed(error instanceof Error ? error.message : String(error));
    return;
  }
  if (signal.aborted) {
    socket.destroy();
    failed("the connection is over");
    return;
  }
  const channel = make();
  channel.confirm();
  channel.receiveInto(socket);
  const isWhole = await channel.sendAll(socket);
  channel.eof();
  // What the client still sends may be waited for by a server that has said all.
  if (isWhole) await finished(socket, { readable: false }).catch(() => undefined);
  channel.close();
}
