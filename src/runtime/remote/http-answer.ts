/**
 * One request to a control plane and the head of its answer, by node:http. Its agent keeps connections for the next
 * request, and goes through the proxies that the environment names. Nothing is followed anywhere: a token is for one
 * server. What the server sends is untrusted.
 */
import http, { type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import { abortedError, throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";

/** Until the head of an answer is there, `ms`: some calls take their time, and say nothing before they are done. */
const HEAD_TIMEOUT_MS = 120_000;
/** An answer that goes no further for so long is given up, `ms`. */
const BODY_SILENCE_MS = 60_000;
/** Longest answer that is read as a whole, `bytes`. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;

export interface HttpRequest {
  method: string;
  url: URL;
  headers: Readonly<Record<string, string>>;
  body?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  /** Has to be read, or destroyed. */
  body: IncomingMessage;
}

export interface HttpAgents extends Disposable {
  /** Opens the connection of a WebSocket, or takes one that a request has left. */
  webSocketAgent(url: string): http.Agent;
  request(request: HttpRequest): Promise<HttpAnswer>;
  /** Asks for another protocol. What is not granted is an answer like any other. */
  upgrade(request: HttpRequest): Promise<HttpAnswer | { headers: HttpAnswer["headers"]; stream: Duplex; head: Buffer }>;
}

/** @param direct whether no proxy is asked: to this machine itself, which proxies would take for theirs */
export function openAgents(direct: boolean): HttpAgents {
  const options = { keepAlive: true, ...(direct ? {} : { proxyEnv: process.env }) };
  let plain: http.Agent | undefined;
  let secure: https.Agent | undefined;
  const agentFor = ({ protocol }: URL): http.Agent =>
    protocol === "https:" ? (secure ??= new https.Agent(options)) : (plain ??= new http.Agent(options));
  return {
    webSocketAgent: (url) => agentFor(new URL(url.replace(/^ws/, "http"))),
    request: async (request) => send(request, agentFor(request.url), async (sent) => answerOf(sent)),
    upgrade: async (request) =>
      send(request, agentFor(request.url), async (sent) => {
        const upgraded = new Promise<{ headers: HttpAnswer["headers"]; stream: Duplex; head: Buffer }>((resolve) => {
          sent.once("upgrade", (answer, stream, head) =>
            resolve({ headers: plainHeaders(answer.headers), stream, head }),
          );
        });
        return Promise.race([upgraded, answerOf(sent)]);
      }),
    [Symbol.dispose]() {
      plain?.destroy();
      secure?.destroy();
    },
  };
}

/** @throws SbxError `server_unreachable`, `aborted` */
async function send<T>(
  { method, url, headers, body, signal }: HttpRequest,
  agent: http.Agent,
  read: (sent: http.ClientRequest) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal, "asking the server");
  const { request } = url.protocol === "https:" ? https : http;
  const sent = request(url, {
    ...{ method, agent, maxHeaderSize: MAX_HEADER_BYTES },
    headers: { ...headers, ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }) },
  });
  const timer = setTimeout(() => sent.destroy(new Error("it does not answer")), HEAD_TIMEOUT_MS).unref();
  const onAbort = (): unknown => sent.destroy(new Error("aborted"));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const failed = new Promise<never>((_resolve, reject) => sent.once("error", reject));
    // Of a request that was answered, nobody waits for a later failure here.
    sent.on("error", () => undefined);
    failed.catch(() => undefined);
    sent.end(body);
    return await Promise.race([read(sent), failed]);
  } catch (cause) {
    sent.destroy();
    if (signal?.aborted === true) throw abortedError(signal, "asking the server");
    throw unreachable(url, cause);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function answerOf(sent: http.ClientRequest): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    sent.once("response", (answer: IncomingMessage) => {
      answer.on("error", () => undefined);
      resolve({ status: answer.statusCode ?? 0, headers: plainHeaders(answer.headers), body: answer });
    });
  });
}

/** The whole body as text. @throws SbxError `connection_closed` where it breaks off, or is too long */
export async function readText({ body }: HttpAnswer, url: URL, signal?: AbortSignal): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  const onAbort = (): unknown => body.destroy(new Error("aborted"));
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const silence = setTimeout(() => body.destroy(new Error("it says nothing any more")), BODY_SILENCE_MS);
  try {
    for await (const part of body as AsyncIterable<Buffer>) {
      silence.refresh();
      bytes += part.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`its answer has more than ${MAX_ANSWER_BYTES} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts).toString("utf8");
  } catch (cause) {
    if (signal?.aborted === true) throw abortedError(signal, "asking the server");
    throw new SbxError("connection_closed", `the answer of ${url.origin} broke off`, { cause, hint: RETRY_HINT });
  } finally {
    clearTimeout(silence);
    signal?.removeEventListener("abort", onAbort);
  }
}

const RETRY_HINT = "see whether it happened before you repeat it: sbx list";

function unreachable(url: URL, cause: unknown): SbxError {
  return new SbxError("server_unreachable", `the server at ${url.origin} cannot be reached`, {
    cause,
    hint: "see whether it runs, and which one is meant: sbx context list",
  });
}

function plainHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return plain;
}
