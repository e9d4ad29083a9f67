/** Which TCP ports a guest listens on, from its own /proc/net/tcp and tcp6 (proc(5)). */
import type { GuestFiles } from "../../files.ts";
import { APP_PORT } from "./entry-command.ts";

const MAX_BYTES = 256 * 1024;
/** TCP_LISTEN (include/net/tcp_states.h). */
const LISTEN = "0A";

/** The port of the app's server: the one that it was given if something listens there, else the lowest; perhaps none. */
export async function findAppPort(files: GuestFiles): Promise<number | undefined> {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map(async (name) =>
      files.read(name, { maxBytes: MAX_BYTES }).catch(() => null),
    ),
  );
  const ports = tables.flatMap((table) =>
    table === null ? [] : listeningPorts(Buffer.from(table).toString("latin1")),
  );
  return ports.includes(APP_PORT) ? APP_PORT : ports.sort((a, b) => a - b)[0];
}

export function listeningPorts(table: string): number[] {
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", , state] = line.trim().split(/\s+/);
      const port = Number.parseInt(local.split(":")[1] ?? "", 16);
      return state === LISTEN && port > 0 && port <= 65_535 ? [port] : [];
    });
}
