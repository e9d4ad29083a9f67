/** An upstream that answers while it is asked, in each of the ways of http-semantics.test.ts, and notes what it saw. */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";
import type { ServerIdentity } from "./test-authority.ts";

type Request = IncomingMessage | Http2ServerRequest;

export const OFFER_BYTES = 200 * 1024 * 1024;
export const FILE = Buffer.from("0123456789".repeat(100));
const CHUNK = Buffer.alloc(64 * 1024, "download");
const EVENTS = 4;
/** How long an upload is left unread, `ms`. */
const STALL_MS = 6000;

export class SemanticsUpstream {
  readonly server: ReturnType<typeof createSecureServer>;
  /** In the order in which it happened. */
  readonly notes: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  /** Of the offer of 200 MiB: what went out so far. */
  offeredBytes = 0;
  readonly #confirmed = new Map<number, () => void>();
  readonly #webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => "chat.v2" });

  constructor(identity: ServerIdentity) {
    const handle = (request: Request, response: ServerResponse | Http2ServerResponse): void => {
      // The two kinds of responses have the same methods, whose overloads TypeScript cannot put together.
      void this.#handle(request, response as ServerResponse);
    };
    this.server = createSecureServer({ ...identity, allowHTTP1: true }, handle);
    this.server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      void this.#onExpectation(request, response);
    });
    this.server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.authorizations.push(request.headers.authorization);
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on("message", (data: Buffer, isBinary) => {
          this.notes.push(`websocket ${data.length > 1000 ? data.length : data.toString("latin1")}`);
          if (data.toString() === "close") webSocket.close(4321, "as it was asked");
          else webSocket.send(data, { binary: isBinary });
        });
      });
    });
  }

  async #handle(request: Request, response: ServerResponse): Promise<void> {
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    this.authorizations.push(request.headers.authorization);
    const [, kind = "", detail = ""] = new URL(request.url ?? "/", "https://x.example").pathname.split("/");
    switch (kind) {
      case "ping-pong":
        this.#echo(request, response);
        break;
      case "grpc":
        this.#grpc(detail, request, response as unknown as Http2ServerResponse);
        break;
      case "events":
        await this.#events(response);
        break;
      case "confirm":
        this.#confirmed.get(Number(detail))?.();
        response.end();
        break;
      case "upload":
        // Whoever carries it has to wait, or to hold what comes meanwhile.
        await sleep(STALL_MS);
        response.end(JSON.stringify(await digest(request)));
        break;
      case "refuse":
        response.writeHead(413).end("too large");
        break;
      case "offer":
        await this.#offer(response);
        break;
      default:
        file(request, response);
    }
  }

  #echo(request: Request, response: ServerResponse): void {
    request.on("data", (chunk: Buffer) => response.write(chunk.toString("latin1").toUpperCase()));
    request.on("end", () => response.end());
  }

  #grpc(detail: string, request: Request, response: Http2ServerResponse): void {
    if (detail === "missing") {
      response.stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "not%20found" },
        { endStream: true },
      );
      return;
    }
    response.setHeader("content-type", "application/grpc");
    request.on("data", (chunk: Buffer) => response.write(chunk));
    request.on("end", () => {
      response.addTrailers({ "grpc-status": "0", "grpc-message": "all well" });
      response.end();
    });
  }

  async #events(response: ServerResponse): Promise<void> {
    response.setHeader("content-type", "text/event-stream");
    for (let n = 1; n <= EVENTS; n += 1) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#confirmed.set(n, resolve);
      response.write(`data: event ${n}\n\n`);
      await promise;
    }
    response.end();
  }

  /** As much as the other side takes. */
  async #offer(response: ServerResponse): Promise<void> {
    response.setHeader("content-length", OFFER_BYTES);
    this.offeredBytes = 0;
    while (this.offeredBytes < OFFER_BYTES && !response.destroyed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      response.once("close", resolve);
      response.write(CHUNK, () => resolve());
      await promise;
      response.off("close", resolve);
      this.offeredBytes += CHUNK.length;
    }
    response.end();
  }

  async #onExpectation(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.prependOnceListener("data", () => this.notes.push("body"));
    request.pause();
    if (request.url === "/continue/no") {
      this.notes.push("refused");
      response.writeHead(417).end("no");
      return;
    }
    this.notes.push("continue");
    response.writeContinue();
    const { bytes } = await digest(request);
    response.end(`${bytes} bytes`);
  }
}

async function digest(request: Request): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** A file with a validator, for HEAD, for If-None-Match and for ranges. */
function file(request: Request, response: ServerResponse): void {
  response.setHeader("etag", '"v1"');
  if (request.headers["if-none-match"] === '"v1"') {
    response.writeHead(304).end();
    return;
  }
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const [from, to] = range === null ? [0, FILE.length - 1] : [Number(range[1]), Number(range[2])];
  const part = FILE.subarray(from, to + 1);
  response.setHeader("content-type", "text/plain");
  response.setHeader("content-length", part.length);
  if (range !== null) response.setHeader("content-range", `bytes ${from}-${to}/${FILE.length}`);
  response.writeHead(range === null ? 200 : 206);
  response.end(request.method === "HEAD" ? undefined : part);
}
