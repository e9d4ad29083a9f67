/** The lines of an answer that takes its time, or has no known end (protocol/control-lines.ts). */
import { BEAT_MS, encodeControlLine, type ControlLine, type ProgressRecord } from "../../protocol/control-lines.ts";
import { ApiError, toApiError } from "../api-error.ts";
import { errorBodyOf } from "../http/answers.ts";

/** News that nobody has taken yet: of more, the oldest are dropped. */
const MAX_NEWS = 32;

export interface LineAnswerOptions {
  /** Takes a place among the organisation's answers. */
  open: () => Disposable;
  /** Fires when the answer has to end. */
  ending: AbortSignal;
  /** Fires when nobody is there any more. */
  gone: AbortSignal;
  /** Told of each failure that the client is told of. */
  onFailure: (error: ApiError) => void;
}

/** Lines of items, each taken from the source when the client has taken the one before. */
export async function* itemLines(source: AsyncIterable<unknown>, options: LineAnswerOptions): AsyncIterable<string> {
  const iterator: AsyncIterator<unknown, unknown> = source[Symbol.asyncIterator]();
  try {
    using _place = options.open();
    for (;;) {
      const next = iterator.next();
      yield* beatUntil(next);
      const { done, value } = await next;
      if (done === true) break;
      yield encodeControlLine({ item: value });
    }
    yield encodeControlLine(options.ending.aborted ? goingAway(options) : { end: true });
  } catch (error) {
    yield encodeControlLine(failure(error, options));
  } finally {
    await iterator.return?.();
  }
}

/** Lines of progress, and the value. */
export async function* progressLines(
  run: (onProgress: (event: ProgressRecord) => void) => Promise<unknown>,
  options: LineAnswerOptions,
): AsyncIterable<string> {
  try {
    using _place = options.open();
    yield* followProgress(run);
  } catch (error) {
    yield encodeControlLine(failure(error, options));
  }
}

async function* followProgress(
  run: (onProgress: (event: ProgressRecord) => void) => Promise<unknown>,
): AsyncIterable<string> {
  const news: ProgressRecord[] = [];
  let wake = (): void => undefined;
  const result = run((event) => {
    news.push(event);
    if (news.length > MAX_NEWS) news.shift();
    wake();
  });
  const state = { isOver: false };
  const settle = (): void => {
    state.isOver = true;
  };
  const over = result.then(settle, settle);
  while (!state.isOver) {
    const { promise: woken, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    if (news.length === 0) yield* beatUntil(Promise.race([woken, over]));
    for (const event of news.splice(0)) yield encodeControlLine({ progress: event });
  }
  yield encodeControlLine({ result: await result });
}

/** Empty lines, until something has happened: a connection that says nothing is taken for a broken one. */
async function* beatUntil(happens: Promise<unknown>): AsyncIterable<string> {
  const state = { isOver: false, wake: (): void => undefined };
  const settle = (): void => {
    state.isOver = true;
    state.wake();
  };
  // Once, not with each beat: a promise keeps all that wait for it, and a quiet stream may be so for days. What it fails
  // with is for whoever waits for it.
  happens.then(settle, settle);
  for (;;) {
    const { promise: woken, resolve } = Promise.withResolvers<void>();
    state.wake = resolve;
    const timer = setTimeout(resolve, BEAT_MS).unref();
    try {
      await woken;
    } finally {
      clearTimeout(timer);
    }
    if (state.isOver) return;
    yield "\n";
  }
}

function failure(error: unknown, options: LineAnswerOptions): ControlLine {
  if (options.ending.aborted) return goingAway(options);
  const failed = toApiError(error);
  options.onFailure(failed);
  return { error: errorBodyOf(failed, true) };
}

function goingAway({ gone, onFailure }: LineAnswerOptions): ControlLine {
  const error = new ApiError(
    "SHUTTING_DOWN",
    "the server has ended this answer: it goes away, or the token does not hold",
  );
  if (!gone.aborted) onFailure(error);
  return { error: errorBodyOf(error, true) };
}
