/**
 * One forwarded port: a listener of this machine, each connection of which becomes one inside the sandbox. Bytes are
 * carried as they are, with back-pressure; each direction ends by itself.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { SbxError } from "../../runtime/errors.ts";
import { splice } from "./splice.ts";

/** Connections at once; one more is reset. */
const MAX_CONNECTIONS = 256;

export interface ForwardOptions {
  /** Addresses of this machine to listen on, all at the same port. */
  addresses: readonly string[];
  /** 0 for any. */
  port: number;
  /** Connects inside the sandbox. */
  open: (signal: AbortSignal) => Promise<Duplex>;
  /** Told that a connection could not be made inside the sandbox. */
  onFailure: (error: unknown) => void;
}

export interface Forward extends AsyncDisposable {
  readonly addresses: readonly string[];
  readonly port: number;
}

/** @throws SbxError `port_in_use`, `usage` for an address that this machine does not have */
export async function openForward(options: ForwardOptions): Promise<Forward> {
  const forward = new PortForward(options);
  try {
    for (const address of options.addresses) await forward.listen(address);
    return forward;
  } catch (error) {
    await forward[Symbol.asyncDispose]();
    throw error;
  }
}

class PortForward implements Forward {
  readonly addresses: string[] = [];
  readonly #options: ForwardOptions;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #closing = new AbortController();

  constructor(options: ForwardOptions) {
    this.#options = options;
  }

  get port(): number {
    return (this.#servers[0]?.address() as AddressInfo | null | undefined)?.port ?? 0;
  }

  async listen(host: string): Promise<void> {
    const port = this.#servers.length === 0 ? this.#options.port : this.port;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    try {
      await listening(server, { host, port, exclusive: true });
    } catch (cause) {
      // A machine without IPv6: the other loopback is there.
      if (host === "::1" && this.#servers.length > 0 && isMissingAddress(cause)) return;
      throw listenError(cause, host, port);
    }
    server.on("error", () => undefined); // no descriptors for a connection: that client's trouble
    this.#servers.push(server);
    this.addresses.push(host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => undefined); // "close" follows
    socket.once("close", () => this.#sockets.delete(socket));
    if (this.#sockets.size > MAX_CONNECTIONS) {
      this.#options.onFailure(new SbxError("connection_closed", `more than ${MAX_CONNECTIONS} connections at once`));
      socket.resetAndDestroy();
      return;
    }
    void this.#carry(socket);
  }

  async #carry(socket: Socket): Promise<void> {
    try {
      const tunnel = await this.#options.open(this.#closing.signal);
      splice(socket, tunnel);
    } catch (error) {
      socket.resetAndDestroy();
      if (!this.#closing.signal.aborted) this.#options.onFailure(error);
    }
  }
}

async function listening(server: Server, at: { host: string; port: number; exclusive: boolean }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(at, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function isMissingAddress(error: unknown): boolean {
  return ["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes((error as NodeJS.ErrnoException).code ?? "");
}

function listenError(cause: unknown, host: string, port: number): unknown {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return new SbxError("port_in_use", `port ${port} of ${host} is taken by another program`, {
        cause,
        hint: "write 0: in front of the sandbox's port to have a free one",
      });
    case "EACCES":
      return new SbxError("port_in_use", `port ${port} of ${host} may not be opened by this account`, {
        cause,
        hint: "use a port from 1024",
      });
    case "EADDRNOTAVAIL":
    case "EAFNOSUPPORT":
    case "ENOTFOUND":
      return new SbxError("usage", `${host} is no address of this machine`, { cause, hint: "leave out --address" });
    default:
      return cause;
  }
}
