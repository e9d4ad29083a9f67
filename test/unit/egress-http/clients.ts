/** Clients for tests: small, and without any of the help that would hide what arrives. */
import { once } from "node:events";
import { type IncomingMessage, request as startPlain } from "node:http";
import { request as startRequest, type RequestOptions } from "node:https";
import { type ClientHttp2Session, connect as connectH2, type ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { type Harness, HOST } from "./harness.ts";

export interface Got {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  rawHeaders: string[];
  body: Buffer;
  trailers: Record<string, string | undefined>;
}

export interface Ask extends RequestOptions {
  body?: Buffer | string | Readable;
  plain?: boolean;
}

/** One HTTP/1.1 request on a connection of its own, unless an agent says otherwise. */
export async function ask(harness: Harness, path: string, options: Ask = {}): Promise<Got> {
  const { body, plain = false, ...rest } = options;
  const settings: RequestOptions = {
    host: "127.0.0.1",
    port: harness.clientPort,
    path,
    agent: false,
    ...rest,
    headers: { host: HOST, ...(rest.headers as Record<string, string> | undefined) },
  };
  const request = plain ? startPlain(settings) : startRequest({ servername: HOST, ca: harness.ca, ...settings });
  if (body === undefined || typeof body === "string" || Buffer.isBuffer(body)) request.end(body);
  else body.pipe(request);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    rawHeaders: response.rawHeaders,
    body: await readAll(response),
    trailers: response.trailers,
  };
}

export async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** What is thrown by something that has to fail. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing failed");
}

/** Unlike `once`, an error before is fine. What still comes is thrown away: a socket that nobody reads does not end. */
export function closed(socket: Socket): Promise<void> {
  socket.on("error", () => undefined).resume();
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

/** Writes bytes and reads until the other end is done. */
export async function exchangeRaw(socket: Socket, bytes: string | Buffer): Promise<string> {
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await closed(socket);
  return Buffer.concat(chunks).toString("latin1");
}

/** Reads until a text has come; what comes after that is left for the next call. @throws Error at the end */
export async function readUntil(socket: Socket, text: string): Promise<string> {
  let seen = "";
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) {
      if (socket.readableEnded || socket.destroyed) throw new Error(`ended after ${JSON.stringify(seen)}`);
      await Promise.race([once(socket, "readable"), once(socket, "close")]);
      continue;
    }
    seen += chunk.toString("latin1");
    const at = seen.indexOf(text);
    if (at < 0) continue;
    const rest = seen.slice(at + text.length);
    if (rest !== "") socket.unshift(Buffer.from(rest, "latin1"));
    return seen.slice(0, at + text.length);
  }
}

export async function openH2(harness: Harness, scheme: "https" | "http" = "https"): Promise<ClientHttp2Session> {
  const socket = await harness.connect(["h2"]);
  const session = connectH2(`${scheme}://${HOST}`, { createConnection: () => socket });
  session.on("error", () => undefined);
  return session;
}

export interface GotH2 {
  headers: Record<string, unknown>;
  body: Buffer;
  trailers: Record<string, unknown> | null;
  rstCode: number;
}

/** @throws Error where the stream ends before its response does */
export async function readH2(stream: ClientHttp2Stream): Promise<GotH2> {
  let trailers: Record<string, unknown> | null = null;
  stream.on("trailers", (fields) => (trailers = fields));
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  const body = await readAll(stream);
  return { headers, body, trailers, rstCode: stream.rstCode };
}
