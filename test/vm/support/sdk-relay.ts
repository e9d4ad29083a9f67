/**
 * The least of a control plane that the official SDK needs: makes a sandbox for its create handshake and hands its
 * bytes, untouched, to the supervisor's socket. All the protocol that it then speaks is the supervisor's own.
 */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import path from "node:path";
import type { Duplex } from "node:stream";
import type { TestHome } from "./test-home.ts";

const CONNECT = /^\/api\/v3\/sandbox\/([^/?]+)/;
const FORWARDED = /^(?:host|upgrade|connection|sec-websocket-.*)$/i;

export class SdkRelay implements AsyncDisposable {
  readonly #home: TestHome;
  readonly #server: Server;

  private constructor(home: TestHome) {
    this.#home = home;
    this.#server = createServer((incoming, response) => this.#forward(incoming, response));
    this.#server.on("upgrade", (incoming: IncomingMessage, socket: Duplex) => {
      socket.on("error", () => socket.destroy());
      this.#upgrade(incoming, socket).catch(() => socket.destroy());
    });
  }

  static async open(home: TestHome): Promise<SdkRelay> {
    const relay = new SdkRelay(home);
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  /** For the SDK's `sandboxEndpoint`. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #socketPath(id: string): string {
    return path.join(this.#home.paths.socketsPath, `${id}.sock`);
  }

  #forward(incoming: IncomingMessage, response: ServerResponse): void {
    const id = CONNECT.exec(incoming.url ?? "")?.[1] ?? "";
    const { method, url } = incoming;
    const headers = { ...incoming.headers, connection: "close" };
    const outgoing = request({ socketPath: this.#socketPath(id), method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on("error", () => response.writeHead(404).end('{"code":"SANDBOX_NOT_FOUND","message":"gone"}'));
    incoming.pipe(outgoing);
  }

  async #upgrade(incoming: IncomingMessage, socket: Duplex): Promise<void> {
    const id = CONNECT.exec(incoming.url ?? "")?.[1] ?? (await this.#create(incoming));
    const lines = [`GET /api/v3/sandbox/${id}/connect HTTP/1.1`];
    for (const [name, value] of Object.entries(incoming.headersDistinct)) {
      if (FORWARDED.test(name)) lines.push(`${name}: ${value?.join(", ") ?? ""}`);
    }
    const upstream = connect(this.#socketPath(id));
    upstream.on("error", () => socket.destroy());
    upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
    upstream.pipe(socket);
    socket.pipe(upstream);
  }

  async #create(incoming: IncomingMessage): Promise<string> {
    const header = String(incoming.headers["x-deno-sandbox-config"]);
    const config = JSON.parse(Buffer.from(header, "base64").toString("latin1")) as { memory_mb: number };
    return this.#home.create("--memory", `${config.memory_mb}MiB`);
  }
}
