/** One chunk of stream data on its way out: a binary frame where both ends agreed on them, else base64 in JSON. */
import { binaryHeader } from "../../protocol/binary-frames.ts";
import { encodeBase64 } from "../../protocol/rpc-base64.ts";
import { encodeNotification } from "../../protocol/rpc-messages.ts";
import type { MessageSocket } from "./message-socket.ts";

/** Returns false when the socket should drain first. The chunk is not copied. */
export function encodeStreamData(
  socket: MessageSocket,
  isBinary: boolean,
  streamId: number,
  chunk: Uint8Array,
): boolean {
  if (isBinary) return socket.sendBinary([binaryHeader(streamId), chunk]);
  const data = encodeBase64(chunk);
  return socket.sendText(encodeNotification({ method: "$sandbox.stream.enqueue", streamId, data }));
}
