/** The HTTP server: connections, limits, and what to do with what is no HTTP. */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { SbxError } from "../../runtime/errors.ts";
import { ApiError } from "../api-error.ts";
import type { ControlPlane } from "../control-plane.ts";
import { refuseSocket } from "./answers.ts";
import { Connections } from "./connections.ts";
import { MAX_CONNECTIONS, MAX_HEADER_BYTES, TIMEOUTS } from "./limits.ts";
import { serveRequest } from "./requests.ts";
import { serveUpgrade } from "./upgrades.ts";

export interface ListenAddress {
  host: string;
  /** 0 for a free one. */
  port: number;
}

export interface HttpServer extends AsyncDisposable {
  /** Where it listens, without a final slash. */
  readonly url: string;
}

/** Listens and serves. Disposing takes no new connections, and waits for the answers that are under way. */
export async function openHttpServer(plane: ControlPlane, address: ListenAddress): Promise<HttpServer> {
  const timeouts = { ...TIMEOUTS, ...plane.options.timeouts };
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    connectionsCheckingInterval: timeouts.checkMs,
    // It would be refused without a word of the API's.
    requireHostHeader: false,
  });
  server.maxConnections = MAX_CONNECTIONS;
  const connections = new Connections();
  server.on("connection", (socket: Socket) => connections.add(socket));
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    connections.begin(request, response);
    plane.track(serveRequest(plane, request, response, newTraceId()));
  };
  // An expectation other than to go on is of no account (RFC 9110, section 10.1.1).
  server.on("request", serve).on("checkExpectation", serve);
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const answered = connections.answered(socket);
    plane.track(serveUpgrade(plane, { request, socket, head, answered, traceId: newTraceId() }));
  });
  const refused = new WeakSet<Socket>();
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    // Each further piece of what cannot be read is an error of its own: to hang up over it would take the refusal back.
    if (refused.has(socket)) return;
    refused.add(socket);
    // It must not get ahead of the answer to what came before it.
    void connections.answered(socket).then(() => refuseMalformed(error, socket));
  });
  await listen(server, address);
  const { address: host, port } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      server.closeIdleConnections();
      // What node:http would look after itself, it does no more once it is closed.
      const timers = [
        setTimeout(() => connections.destroyUnfinished(), timeouts.lastRequestMs),
        setTimeout(() => connections.destroyAll(), timeouts.drainMs),
      ];
      await plane[Symbol.asyncDispose]();
      timers.map(clearTimeout);
      connections.destroyAll();
      await closed;
    },
  };
}

/** Random, in the form of W3C Trace Context. */
function newTraceId(): string {
  return randomBytes(16).toString("hex");
}

function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  socket.on("error", () => socket.destroy());
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const failure =
    error.code === "HPE_HEADER_OVERFLOW"
      ? new ApiError("HEADERS_TOO_LARGE", `the fields of a request have at most ${MAX_HEADER_BYTES} bytes`)
      : new ApiError("INVALID_REQUEST", "that is not HTTP, or it took too long");
  refuseSocket(socket, failure, newTraceId());
}

async function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
    throw new SbxError(isTaken ? "port_in_use" : "usage", `the server cannot listen on ${host}:${port}`, {
      cause,
      hint: isTaken ? "choose another one: sbx serve --listen 127.0.0.1:0" : "sbx serve --listen 127.0.0.1:8787",
    });
  }
}
