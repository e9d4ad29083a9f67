/** Has a hook process at hand: starts it again when it has ended, ever more slowly if it does not last. */
import { setTimeout as delay } from "node:timers/promises";
import type { HookLog } from "./hook-log.ts";
import { HookSession, type SessionOptions } from "./hook-session.ts";
import { HookError } from "./hooks.ts";

/** A process that lasted so long was no failed start. */
const STABLE_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** What to wait before the next start, after so many lives that did not last. */
export function pauseMs(failures: number): number {
  return failures <= 1 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 2, 10));
}

export class HookKeeper implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #log: HookLog;
  readonly #closing = new AbortController();
  #session: Promise<HookSession> | undefined;
  #failures = 0;
  /** Why there is no process at the moment; `null` while there is one. */
  #trouble: string | null = null;

  constructor(options: SessionOptions, log: HookLog) {
    this.#options = options;
    this.#log = log;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  /**
   * A process that is ready.
   *
   * @throws HookError when it does not start any more; SbxError when it never did
   */
  async session(signal: AbortSignal): Promise<HookSession> {
    signal.throwIfAborted();
    if (this.#closing.signal.aborted) throw new HookError("the hooks are closed");
    this.#session ??= this.#open();
    return await unlessAborted(this.#session, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new HookError("the hooks are closed"));
    const session = await this.#session?.catch(() => undefined); // one that did not start has nothing to close
    await session?.close();
  }

  async #open(): Promise<HookSession> {
    const { signal } = this.#closing;
    try {
      await delay(pauseMs(this.#failures), undefined, { signal });
      const session = await HookSession.open(this.#options, signal);
      this.#trouble = null;
      void session.over.then((how) => this.#ended(session, how));
      return session;
    } catch (error) {
      this.#session = undefined;
      signal.throwIfAborted();
      this.#failures += 1;
      this.#trouble = `it does not start: ${(error as Error).message}`;
      if (this.#failures === 1) throw error;
      throw new HookError(`the hook process cannot be started again: ${(error as Error).message}`);
    }
  }

  #ended(session: HookSession, how: string): void {
    this.#session = undefined;
    if (this.#closing.signal.aborted) return;
    this.#failures = performance.now() - session.startedAt < STABLE_MS ? this.#failures + 1 : 1;
    this.#trouble = `it ${how}; the next request starts it again`;
    this.#log.note(`the hook process ${how}; the next request starts it again`);
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
