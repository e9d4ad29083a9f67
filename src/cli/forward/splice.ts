/** Joins two connections: what comes from one goes to the other, at the pace of the slower, each direction by itself. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** A failure of either ends both: here as a reset, since an orderly end would say that all had been sent. */
export function splice(socket: Socket, tunnel: Duplex): void {
  socket.pipe(tunnel);
  tunnel.pipe(socket);
  tunnel.once("error", () => socket.resetAndDestroy());
  socket.once("error", (error) => tunnel.destroy(error));
  socket.once("close", () => {
    if (!tunnel.writableFinished || !tunnel.readableEnded) tunnel.destroy();
  });
  tunnel.once("close", () => {
    // It ended in order, and what it sent is still being written; or it was cut off.
    if (!tunnel.readableEnded) socket.resetAndDestroy();
    // What the client still sends is thrown away: one that is not read is not seen to go.
    else socket.resume();
  });
}
