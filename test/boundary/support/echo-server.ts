/**
 * An upstream that says what it got: over HTTPS (HTTP/1.1 and HTTP/2) or plain HTTP, at an address of the closed network.
 * `/echo` answers with the request as JSON; a test may answer other paths itself.
 */
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ServerIdentity } from "./test-authority.ts";

type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

export interface SeenRequest {
  version: string;
  method: string;
  url: string;
  /** Names in lower case. */
  headers: Record<string, string | string[] | undefined>;
  body: string;
  /** SNI, for HTTPS. */
  serverName: string | null;
}

export type Answer = (seen: SeenRequest, response: Response) => boolean;

export interface EchoOptions {
  address: string;
  port: number;
  /** Absent: plain HTTP. */
  identity?: ServerIdentity;
  /** Answers, or leaves it to the echo by returning false. The body has been read. */
  answer?: Answer;
  upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export class EchoServer implements AsyncDisposable {
  readonly seen: SeenRequest[] = [];
  /** TCP connections so far. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(options: EchoOptions) {
    const handle = (request: Request, response: Response): void => void this.#handle(request, response, options);
    this.#server =
      options.identity === undefined
        ? createHttpServer(handle)
        : createSecureServer({ ...options.identity, allowHTTP1: true }, handle);
    if (options.upgrade !== undefined) this.#server.on("upgrade", options.upgrade);
    this.#server.on("connection", (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(options: EchoOptions): Promise<EchoServer> {
    const echo = new EchoServer(options);
    echo.#server.listen(options.port, options.address);
    await once(echo.#server, "listening");
    return echo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #handle(request: Request, response: Response, { answer }: EchoOptions): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return; // The client went away.
    }
    const { servername = null } = request.socket as { servername?: string | false };
    const seen: SeenRequest = {
      version: request.httpVersion,
      method: request.method ?? "",
      url: request.url ?? "",
      headers: { ...request.headers },
      body: Buffer.concat(chunks).toString("latin1"),
      serverName: servername === false ? null : servername,
    };
    this.seen.push(seen);
    if (answer?.(seen, response) === true) return;
    const body = JSON.stringify(seen);
    response.setHeader("content-type", "application/json");
    response.end(body);
  }
}
