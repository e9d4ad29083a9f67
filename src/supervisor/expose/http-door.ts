/**
 * Connections of a gateway to servers of the guest, at the supervisor's socket (src/protocol/domain-calls.ts). Heads of
 * requests have been judged by the gateway; nothing that crosses is looked at here.
 */
import type { IncomingMessage } from "node:http";
import { pipeline, type Duplex } from "node:stream";
import { DOMAIN_HOST, DOMAINS_TARGET, HTTP_UPGRADE } from "../../protocol/domain-calls.ts";
import { PartedStream } from "../../protocol/parted-stream.ts";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import { refuseUpgrade } from "../door-http.ts";
import type { Domains } from "./domains.ts";

/** As many as the gateway of a sandbox's own URLs has. */
const MAX_CONNECTIONS = 256;
const GRANTED = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${HTTP_UPGRADE}\r\n\r\n`;

const STATUS: Partial<Record<ErrorCode, number>> = {
  exposure_not_found: 404,
  nothing_listens: 502,
  timeout: 504,
};

export interface HttpDoorOptions {
  /** The sandbox's names. @throws SbxError unless it runs */
  domains: () => Promise<Domains>;
  isPaused: () => boolean;
}

export class HttpDoor {
  readonly #options: HttpDoorOptions;
  readonly #open = new Set<Duplex>();

  constructor(options: HttpDoorOptions) {
    this.#options = options;
  }

  /** Takes an upgrade request if it is one for a name; says whether it is. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const { url = "", headers } = request;
    const host = url.startsWith(`${DOMAINS_TARGET}/`) ? url.slice(DOMAINS_TARGET.length + 1) : "";
    if (!DOMAIN_HOST.test(host) || headers.upgrade !== HTTP_UPGRADE) return false;
    this.#accept(host, socket, head).catch((error: unknown) => {
      const { code, message } = toRefusal(error);
      refuseUpgrade(socket, STATUS[code] ?? 503, code, message);
    });
    return true;
  }

  close(): void {
    for (const socket of this.#open) socket.destroy();
  }

  async #accept(host: string, socket: Duplex, head: Buffer): Promise<void> {
    if (this.#open.size >= MAX_CONNECTIONS) {
      throw new SbxError("insufficient_resources", "the sandbox has as many connections as it may have");
    }
    const gone = new AbortController();
    this.#open.add(socket);
    socket.once("close", () => {
      this.#open.delete(socket);
      gone.abort(new SbxError("aborted", "nobody waits for it any more"));
    });
    const domains = await this.#options.domains();
    if (this.#options.isPaused()) throw new SbxError("sandbox_paused", "the sandbox stands still");
    const tunnel = new PartedStream(socket, head);
    tunnel.on("error", () => undefined); // while it is dialled, `gone` tells
    const first = tunnel.read() as Buffer | null;
    const server = await domains.dial(host, first ?? undefined, gone.signal);
    socket.write(GRANTED);
    carry(tunnel, server);
  }
}

/** Both ways, each as fast as the other end takes it. A half that breaks off breaks the other one. */
function carry(tunnel: PartedStream, server: Duplex): void {
  const giveUp = (error: Error | null | undefined): void => {
    if (error == null) return;
    tunnel.destroy(error);
    server.destroy(error);
  };
  pipeline(tunnel, server, giveUp);
  pipeline(server, tunnel, giveUp);
}

function toRefusal(error: unknown): { code: ErrorCode; message: string } {
  if (error instanceof SbxError) return error;
  if ((error as { code?: unknown }).code === "ECONNREFUSED")
    return { code: "nothing_listens", message: "nothing listens" };
  return { code: "timeout", message: "the sandbox did not take a connection in time" };
}
