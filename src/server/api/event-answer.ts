/**
 * Answers that are streams of objects, as the published API has them: server-sent events (WHATWG HTML, 9.2) for who asks
 * for them, and lines of JSON otherwise. Both end when there is nothing more to come.
 */
import type { Answer } from "./route.ts";

const EVENTS = "text/event-stream";
export const LINES = "application/x-ndjson";
export const STREAM_TYPES = [EVENTS, LINES] as const;
/** A connection that says nothing for longer may be taken for a broken one, `ms`. */
const BEAT_MS = 15_000;

export type StreamForm = "events" | "lines";

/**
 * What the client wants. The SDK for Python reads build logs as events without asking for them, and asks for lines where
 * it reads lines.
 *
 * @param otherwise for a client that takes anything
 */
export function streamForm(accept: string | undefined, otherwise: StreamForm): StreamForm {
  if (accept?.includes(EVENTS) === true) return "events";
  if (accept === undefined || accept.includes("ndjson")) return "lines";
  return otherwise;
}

/** @param items ends by itself; where it throws, the answer is broken off */
export function streamAnswer(items: AsyncIterable<unknown>, form: StreamForm): Answer {
  return {
    status: 200,
    headers: { "content-type": form === "events" ? EVENTS : LINES },
    stream: encode(items, form),
  };
}

async function* encode(items: AsyncIterable<unknown>, form: StreamForm): AsyncIterable<string> {
  const iterator: AsyncIterator<unknown, unknown> = items[Symbol.asyncIterator]();
  // A comment, and an empty line: nobody takes them for items.
  const beat = form === "events" ? ":\n\n" : "\n";
  try {
    for (;;) {
      const next = iterator.next();
      while (!(await settles(next))) yield beat;
      const { done, value } = await next;
      if (done === true) break;
      const text = JSON.stringify(value);
      yield form === "events" ? `data: ${text}\n\n` : `${text}\n`;
    }
    // Without data: with it, it would be an item.
    if (form === "events") yield "event: done\n\n";
  } finally {
    await iterator.return?.();
  }
}

/** Whether something has happened before the next beat. */
async function settles(happens: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const beat = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), BEAT_MS).unref();
  });
  const over = happens.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([over, beat]);
  } finally {
    clearTimeout(timer);
  }
}
