/** Upstreams for tests: honest ones of Node's, and raw ones that lie. */
import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from "node:http";
import {
  createSecureServer,
  createServer as createH2cServer,
  type Http2SecureServer,
  type Http2Server,
} from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { upstreamAuthority } from "./harness.ts";

export interface TestServer<S = unknown> extends AsyncDisposable {
  readonly port: number;
  readonly server: S;
  /** Open and closed. */
  readonly sockets: Set<Socket>;
}

const SNI = {
  SNICallback: (
    name: string,
    done: (error: Error | null, context: ReturnType<typeof upstreamAuthority.contextFor>) => void,
  ) => done(null, upstreamAuthority.contextFor(name)),
};

export async function httpsServer(listener: RequestListener): Promise<TestServer<HttpServer>> {
  const server = createHttpsServer({ ...SNI }, listener);
  return listen(server, server);
}

export async function httpServer(listener: RequestListener): Promise<TestServer<HttpServer>> {
  const server = createHttpServer(listener);
  return listen(server, server);
}

export async function http2Server(): Promise<TestServer<Http2SecureServer>> {
  const server = createSecureServer({ ...SNI, allowHTTP1: false });
  return listen(server, server);
}

export async function h2cServer(): Promise<TestServer<Http2Server>> {
  const server = createH2cServer();
  return listen(server, server);
}

/** Whatever it is sent; `answer` is called for each connection. */
export async function rawServer(
  tls: boolean,
  answer: (socket: Socket) => void,
  alpn = "http/1.1",
): Promise<TestServer<Server>> {
  const accept = (socket: Socket): void => {
    socket.on("error", () => undefined);
    answer(socket);
  };
  const server = tls ? createTlsServer({ ...SNI, ALPNProtocols: [alpn] }, accept) : createTcpServer(accept);
  return listen(server, server);
}

async function listen<S extends object>(
  server: S,
  net: Server | Http2SecureServer | Http2Server,
): Promise<TestServer<S>> {
  const sockets = new Set<Socket>();
  const plain: Server = net;
  plain.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  plain.on("sessionError", () => undefined);
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  return {
    port: (plain.address() as AddressInfo).port,
    server,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => plain.close(resolve));
    },
  };
}
