/** `fetch` (deno-sandbox-protocol, section 3.7). What comes back was made by whatever the guest talks to. */
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type { Headers, RequestInit, Response } from "undici";
import { errnoText } from "../../protocol/rpc-errno.ts";
import type { RpcParams, RpcResult } from "../../protocol/rpc-methods.ts";
import { AgentError } from "../../guest/link.ts";
import { CallError, callTypeError } from "./call-error.ts";
import type { IncomingStream } from "./incoming-stream.ts";
import type { Call, Handlers } from "./session.ts";

/** Statuses for which a client can build no Response with a body. */
const BODYLESS = new Set([204, 205, 304]);
/** Encodings that undici takes off; the headers then no longer describe the body. */
const DECODED = /^(?:gzip|x-gzip|deflate|br|zstd)$/i;

export const FETCH_HANDLERS: Handlers<"fetch"> = {
  fetch: async (call, params) => {
    const { session } = call;
    const body = params.bodyStreamId == null ? undefined : session.incoming.claim(params.bodyStreamId);
    try {
      return await fetchFromGuest(call, params, body);
    } catch (error) {
      body?.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  },
};

async function fetchFromGuest(
  call: Call,
  params: RpcParams<"fetch">,
  body: IncomingStream | undefined,
): Promise<RpcResult<"fetch">> {
  const { session } = call;
  const { state } = session;
  const url = readUrl(params.url);
  const process = params.pid == null ? undefined : state.processes.get(params.pid);
  session.outgoing.assertRoom();
  const controller = new AbortController();
  const signal = AbortSignal.any([call.signal, controller.signal]);
  // undici and TLS are half of all that a supervisor could load, and most sandboxes never fetch.
  const [{ fetch }, { guestDispatcher }] = await Promise.all([import("undici"), import("./guest-fetch.ts")]);
  const dispatcher = await guestDispatcher(state, process, signal);
  const init: RequestInit = {
    method: params.method,
    headers: params.headers,
    redirect: params.redirect,
    dispatcher,
    signal,
    ...(body === undefined ? {} : { body: Readable.toWeb(body), duplex: "half" }),
  };
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    await dispatcher.destroy();
    throw describeFailure(error, url, body);
  }
  const bodyStreamId = openBody(call, response, () => {
    controller.abort();
    void dispatcher.destroy();
  });
  const { status, statusText } = response;
  return { status, statusText, headers: responseHeaders(response.headers), bodyStreamId };
}

/** The body as a stream; without one, what was opened for the request is released at once. */
function openBody(call: Call, response: Response, release: () => void): number | null {
  if (response.body === null || BODYLESS.has(response.status)) {
    release();
    return null;
  }
  const readable = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
  readable.on("error", () => undefined); // told to the client by the stream
  readable.once("close", release);
  const stream = call.session.outgoing.open({
    chunks: { [Symbol.asyncIterator]: () => readable.iterator() as AsyncIterator<Uint8Array> },
    whenAbandoned: "destroy",
    destroy: () => readable.destroy(),
  });
  call.holdAbort(stream.done);
  call.afterReply(() => stream.start());
  return stream.streamId;
}

function responseHeaders(headers: Headers): [string, string][] {
  const encodings = (headers.get("content-encoding") ?? "").split(",").map((encoding) => encoding.trim());
  const isDecoded = encodings.every((encoding) => DECODED.test(encoding));
  const dropped = isDecoded ? new Set(["content-encoding", "content-length"]) : new Set<string>();
  return [...headers].filter(([name]) => !dropped.has(name));
}

/** @throws CallError for what is no HTTP URL */
function readUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw callTypeError(`Invalid URL: '${text.slice(0, 2048)}'`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw callTypeError(`Url scheme '${url.protocol.slice(0, -1)}' not supported`);
  }
  return url;
}

/** undici says "fetch failed" and hides why in the cause. */
function describeFailure(error: unknown, url: URL, body: IncomingStream | undefined): unknown {
  if (body?.errored instanceof CallError) return body.errored;
  if (!(error instanceof Error) || error.name !== "TypeError") return error;
  const { cause } = error;
  const why =
    cause instanceof AgentError ? errnoText(cause.code) : cause instanceof Error ? cause.message : error.message;
  const target = `${url.protocol}//${url.host}${url.pathname}`;
  return callTypeError(`error sending request for url (${target}): ${why}`);
}
