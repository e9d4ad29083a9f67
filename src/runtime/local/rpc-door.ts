/** Connects to a supervisor's RPC for somebody who speaks the protocol himself. Nothing that crosses is looked at. */
import { connect, type Socket } from "node:net";
import { connectTarget } from "../../protocol/sandbox-target.ts";
import { abortedError, throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";
import { HANDSHAKE_FIELD, type RpcHandshake } from "../rpc-door.ts";
import { connectError } from "../sandbox/handshake.ts";

export interface RpcDoorOptions {
  socketPath: string;
  id: string;
  handshake: RpcHandshake;
  signal: AbortSignal | undefined;
}

/**
 * The connection, with the handshake sent: the first that comes is its answer.
 *
 * @throws SbxError `supervisor_lost` if nobody listens, `usage` for a field that is not of a handshake, `aborted`
 */
export async function openRpcDoor(options: RpcDoorOptions): Promise<Socket> {
  const { socketPath, signal } = options;
  throwIfAborted(signal, "connecting to the sandbox");
  const head = requestHead(options);
  const socket = connect({ path: socketPath, allowHalfOpen: true });
  const onAbort = (): void => {
    socket.destroy(abortedError(signal, "connecting to the sandbox"));
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    socket.removeAllListeners("error");
    socket.write(head);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error instanceof SbxError ? error : connectError(socketPath, error);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

function requestHead({ id, handshake }: RpcDoorOptions): string {
  const fields = handshake.map(([name, value]) => {
    if (HANDSHAKE_FIELD.test(name) && !/[\r\n\0]/.test(value)) return `${name}: ${value}`;
    throw new SbxError("usage", `${JSON.stringify(name)} is not a field of a handshake`);
  });
  const lines = [`GET ${connectTarget(id)} HTTP/1.1`, "host: sandbox", "connection: Upgrade", "upgrade: websocket"];
  return `${[...lines, ...fields].join("\r\n")}\r\n\r\n`;
}
