/** One chunk of stream data on its way out: a binary frame where both ends agreed on them, else base64 in JSON. */
import { binaryHeader } from "../../protocol/binary-frames.ts";
import { encodeBase64 } from "../../protocol/rpc-base64.ts";
import { encodeNotification } from "../../protocol/rpc-messages.ts";
import type { MessageSocket } from "./message-socket.ts";

/** @param written called when the system has taken the chunk, which is not copied before that */
export function sendStreamData(
  socket: MessageSocket,
  isBinary: boolean,
  streamId: number,
  chunk: Uint8Array,
  written?: () => void,
): void {
  if (isBinary) {
    socket.sendBinary([binaryHeader(streamId), chunk], written);
    return;
  }
  const data = encodeBase64(chunk);
  socket.sendText(encodeNotification({ method: "$sandbox.stream.enqueue", streamId, data }), written);
}
