/** A gateway before servers of this machine, and clients that write HTTP by hand. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { type Gateway, openGateway, type Target } from "../../../src/gateway/gateway.ts";
import type { GatewayLimits } from "../../../src/gateway/target.ts";

export const HOST = "web-0123456789abcdefghijk.localhost";

export interface Bench {
  gateway: Gateway;
  target: Target;
  /** The server behind it; nothing listens before. */
  serve(onConnection: (socket: Socket) => void): Promise<Server>;
  pause(isPaused: boolean): void;
  /** How often it was dialled. */
  dials: () => number;
  client(address?: string): Promise<Client>;
}

export async function openBench(t: TestContext, limits: Partial<GatewayLimits> = {}): Promise<Bench> {
  let port = 0;
  let isPaused = false;
  let dials = 0;
  const target: Target = {
    subject: { sandbox: "web", port: 3000 },
    isPaused: () => isPaused,
    async dial(first, signal) {
      dials++;
      if (port === 0) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, signal });
      await once(socket, "connect");
      if (first !== undefined) socket.write(first);
      return socket;
    },
  };
  const gateway = await openGateway({
    port: 0,
    find: (host) => (host.replace(/:\d+$/, "") === HOST ? target : undefined),
    limits,
  });
  t.after(() => gateway[Symbol.asyncDispose]());
  return {
    gateway,
    target,
    async serve(onConnection) {
      const server = createServer({ allowHalfOpen: true }, onConnection);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      ({ port } = server.address() as AddressInfo);
      t.after(() => {
        server.close();
      });
      return server;
    },
    pause: (value) => void (isPaused = value),
    dials: () => dials,
    async client(address = "127.0.0.1") {
      const client = new Client(connect({ port: gateway.port, host: address, allowHalfOpen: true }));
      await once(client.socket, "connect");
      t.after(() => client.socket.destroy());
      return client;
    },
  };
}

export class Client {
  readonly socket: Socket;
  text = "";
  /** Why the connection ended, when it has. */
  end: "FIN" | "reset" | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    const changed = (): void => this.#wake?.();
    socket.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("latin1");
      changed();
    });
    socket.on("end", () => {
      this.end ??= "FIN";
      changed();
    });
    socket.on("error", () => {
      this.end ??= "reset";
      changed();
    });
    socket.on("close", () => {
      this.end ??= "reset";
      changed();
    });
  }

  send(text: string): this {
    this.socket.write(text, "latin1");
    return this;
  }

  /** Waits until what has come fits. */
  async until(condition: (client: this) => boolean): Promise<this> {
    while (!condition(this)) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this;
  }

  async ended(): Promise<string> {
    await this.until(({ end }) => end !== undefined);
    return this.text;
  }
}

export function get(target = "/", ...fields: string[]): string {
  return [`GET ${target} HTTP/1.1`, `Host: ${HOST}:80`, ...fields, "", ""].join("\r\n");
}

export function answer(body: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}
