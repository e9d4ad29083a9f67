/** Answers without a known end: each as fast as its client takes it, and not beyond what ends it. */
import type { ServerResponse } from "node:http";
import type { Answer } from "../api/route.ts";
import { TRACE_HEADER } from "./answers.ts";

/** What a client has to take the last words once its stream is to end, `ms`. */
const LAST_WORDS_MS = 2000;

/**
 * Sends all of a stream, and ends the answer where the stream ends. Where it throws, the answer is the caller's to break
 * off: a client must not take a part for the whole.
 *
 * @param ending fires when the stream has been told to end; a client that takes nothing then is hung up on
 */
export async function sendStream(
  response: ServerResponse,
  { status, stream, headers = {} }: Answer & { stream: AsyncIterable<string | Uint8Array> },
  { traceId, ending }: { traceId: string; ending: AbortSignal },
): Promise<void> {
  response.writeHead(status, { [TRACE_HEADER]: traceId, "cache-control": "no-store", ...headers });
  response.flushHeaders();
  let timer: NodeJS.Timeout | undefined;
  const onEnding = (): void => {
    timer = setTimeout(() => response.destroy(), LAST_WORDS_MS).unref();
  };
  ending.addEventListener("abort", onEnding, { once: true });
  try {
    for await (const chunk of stream) {
      if (response.destroyed) return;
      if (!response.write(chunk)) await taken(response);
    }
    response.end();
  } finally {
    ending.removeEventListener("abort", onEnding);
    if (timer !== undefined) response.once("close", () => clearTimeout(timer));
  }
}

/** Until the client has taken what was written, or is gone. */
async function taken(response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      response.off("drain", settle).off("close", settle);
      resolve();
    };
    response.on("drain", settle).on("close", settle);
  });
}
