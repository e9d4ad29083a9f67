/** A server that has the published API and nothing else, in front of fake sandboxes; its answers are the test's. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { WebSocketServer } from "ws";
import { openRemoteRuntime } from "../../../src/runtime/remote/index.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { encodeResult, parseClientMessage } from "../../../src/protocol/rpc-messages.ts";
import { FakeMachine } from "./remote-bench.ts";

export const SANDBOX_ID = "sbx_ord_00000000000000000001";

export interface PublishedServer {
  url: string;
  remote: Runtime;
  machine: FakeMachine;
  /** Every request, with its body. */
  requests: { method: string; path: string; headers: IncomingMessage["headers"]; body: string }[];
  /** Configurations of creations. */
  configs: Record<string, unknown>[];
  /** How many connections there were. */
  connections: () => number;
  /** Calls of the RPC: method and params. */
  calls: { method: string; params: unknown }[];
}

export type Answering = (request: IncomingMessage, response: ServerResponse) => void;

export interface PublishedOptions {
  /** Of all that is no WebSocket; the page of a website if absent. */
  answer?: Answering;
  /** Fields of the handshake's answer. */
  fields?: string[];
}

export async function openPublishedServer(t: TestContext, options: PublishedOptions = {}): Promise<PublishedServer> {
  const { answer = website, fields = [`x-deno-sandbox-id: ${SANDBOX_ID}`] } = options;
  const kept: Pick<PublishedServer, "requests" | "configs" | "calls"> = { requests: [], configs: [], calls: [] };
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      kept.requests.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body });
      answer(request, response);
    });
  });
  const webSockets = new WebSocketServer({ noServer: true });
  webSockets.on("headers", (headers) => headers.push(...fields));
  server.on("upgrade", (request, socket, head) => {
    kept.requests.push({ method: "UPGRADE", path: request.url ?? "", headers: request.headers, body: "" });
    const config = request.headers["x-deno-sandbox-config"];
    if (typeof config === "string") {
      kept.configs.push(JSON.parse(Buffer.from(config, "base64").toString("latin1")) as Record<string, unknown>);
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("message", (data: Buffer) => {
        if (data.toString() === "ping") return;
        const message = parseClientMessage(data.toString());
        if (message.kind !== "request") return;
        kept.calls.push({ method: message.method, params: message.params });
        webSocket.send(encodeResult(message.id, null));
      });
    });
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const machine = new FakeMachine();
  const remote = await openRemoteRuntime({ endpoint: url, token: "ddo_token", machine });
  t.after(async () => {
    await remote[Symbol.asyncDispose]();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { ...kept, url, remote, machine, connections: () => sockets.size };
}

/** What a web application says to every path that it does not know. */
export function website(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Welcome</title>");
}

export function sendJson(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
