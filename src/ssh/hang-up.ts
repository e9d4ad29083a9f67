/** The end of a connection after its last words. */
import type { Duplex } from "node:stream";
import { GOODBYE_MS } from "./limits.ts";

/** What was sent still arrives, if the other end takes it. */
export function hangUp(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.end();
}
