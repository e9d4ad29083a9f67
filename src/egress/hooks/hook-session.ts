/** One life of the hook process: the calls under way, and the watch over it. When it ends, every call of it fails. */
import path from "node:path";
import type { Readable } from "node:stream";
import { FRAME, type FrameType } from "../../protocol/agent-frames.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { KeptBudget } from "./body-tap.ts";
import { HookCall, type CallAnswer, type CallHost, type OpenCall } from "./hook-call.ts";
import { HookLink } from "./hook-link.ts";
import { parseFailure, parseInitResult, type HostCallMessage, type HostFailure } from "./hook-messages.ts";
import type { InitCall, InitResult } from "./hook-messages.ts";
import { HookProcess, type HookProcessOptions } from "./hook-process.ts";
import { HookError } from "./hooks.ts";

/** Calls under way at once; far more than the connections that a sandbox may have. */
const MAX_CALLS = 8192;
/** How often a process with calls under way is looked after. */
const WATCH_INTERVAL_MS = 100;
const PING_INTERVAL_MS = 1000;
/** What a process gets that has closed its socket, to say how it ends. */
const LAST_WORDS_MS = 500;

export interface SessionOptions extends HookProcessOptions {
  init: InitCall;
  /** For loading the module. */
  startTimeLimitMs: number;
  /** Longest that the process may be deaf. */
  timeLimitMs: number;
  budget: KeptBudget;
}

export interface SessionCall<T> {
  message: HostCallMessage;
  body: Readable | null;
  signal: AbortSignal;
  timeLimitMs: number;
  /** What is being done, such as `onRequest of policy.ts`. */
  what: string;
  read: (value: unknown) => CallAnswer<T>;
  /** For what the hook process says went wrong. */
  describe?: (failure: HostFailure) => string;
}

export class HookSession implements CallHost {
  readonly budget: KeptBudget;
  readonly link: HookLink;
  /** How it ended, such as `ended with status 1`. */
  readonly over: Promise<string>;
  readonly startedAt = performance.now();
  hooks: InitResult = { onRequest: false, onResponse: false };
  readonly #process: HookProcess;
  readonly #timeLimitMs: number;
  readonly #calls = new Map<number, OpenCall>();
  readonly #cleanups = new Map<number, () => void>();
  #lastId = 0;
  #problem: string | undefined;
  #ended = false;
  /** Before that it is loading the module, for which it has its own time. */
  #ready = false;
  #watch: NodeJS.Timeout | undefined;
  #ping: { id: number; sentAt: number; answered: boolean } | undefined;

  /** @throws SbxError `config_invalid` for a module that cannot be used, `internal` without a process */
  static async open(options: SessionOptions, signal: AbortSignal): Promise<HookSession> {
    const session = new HookSession(await startProcess(options), options);
    try {
      session.hooks = await session.#init(options, signal);
      session.#ready = true;
      return session;
    } catch (error) {
      session.#kill("did not start");
      throw error;
    }
  }

  private constructor(hookProcess: HookProcess, options: SessionOptions) {
    this.#process = hookProcess;
    this.#timeLimitMs = options.timeLimitMs;
    this.budget = options.budget;
    this.over = hookProcess.exited.then((how) => this.#finish(how));
    this.link = new HookLink(hookProcess.socket, {
      message: (type, id, value) => this.#message(type, id, value),
      cancel: () => violation("a CANCEL frame"),
      data: (id, part) => this.#find(id)?.data(part),
      end: (id, failure) => {
        this.#find(id)?.end(failure === null ? null : new HookError(`the body that the hook returned: ${failure}`));
      },
      stop: (id) => this.#find(id)?.tap?.stop(),
      credit: (id, bytes) => this.#find(id)?.tap?.credit(bytes),
      closed: (problem, broken) => (broken ? this.#kill(problem) : this.#linkClosed(problem)),
    });
  }

  /** @throws HookError; the signal's reason when that fires */
  async call<T>(options: SessionCall<T>): Promise<{ value: T; call: HookCall<T> }> {
    const { signal, what } = options;
    signal.throwIfAborted();
    const call = this.#open(options);
    const onAbort = (): void => call.cancel(asError(signal.reason));
    const timer = setTimeout(() => {
      call.cancel(new HookError(`${what} took longer than ${options.timeLimitMs / 1000} s`));
    }, options.timeLimitMs);
    signal.addEventListener("abort", onAbort);
    this.#cleanups.set(call.id, () => signal.removeEventListener("abort", onAbort));
    if (!this.#calls.has(call.id)) this.forget(call); // it has failed already
    try {
      return { value: await call.answer, call };
    } finally {
      clearTimeout(timer);
    }
  }

  /** CallHost. */
  forget(call: OpenCall): void {
    this.#calls.delete(call.id);
    this.#cleanups.get(call.id)?.();
    this.#cleanups.delete(call.id);
  }

  /** Lets the module's own exit handlers run, for a moment. */
  async close(): Promise<void> {
    this.#problem ??= "was stopped with the sandbox";
    this.link.close(this.#problem);
    const timer = setTimeout(() => this.#process.kill(), LAST_WORDS_MS);
    await this.over;
    clearTimeout(timer);
  }

  async #init({ init, startTimeLimitMs }: SessionOptions, signal: AbortSignal): Promise<InitResult> {
    const what = init.modulePath === null ? "the process for rules" : `the hook ${init.modulePath}`;
    try {
      const { value } = await this.call({
        message: init,
        body: null,
        signal,
        timeLimitMs: startTimeLimitMs,
        what: `loading ${what}`,
        read: (result) => ({ value: parseInitResult(result), streams: false }),
        describe: ({ message, at }) => `${message}${at === null ? "" : ` (${at})`}`,
      });
      return value;
    } catch (error) {
      signal.throwIfAborted();
      throw new SbxError("config_invalid", `${what} cannot be used: ${asError(error).message}`, {
        hint: "correct the module; docs/hooks.md says what it has to look like",
      });
    }
  }

  #open<T>({ message, body, what, read, describe = ownWords(what) }: SessionCall<T>): HookCall<T> {
    if (this.#ended || this.#problem !== undefined) throw new HookError(`${what}: the hook process is gone`);
    if (this.#calls.size >= MAX_CALLS) throw new HookError(`${what}: ${MAX_CALLS} requests are waiting for the hook`);
    const failed = (value: unknown): Error => new HookError(describe(parseFailure(value)));
    const id = ++this.#lastId;
    try {
      const call = new HookCall<T>(this, { id, message, body, read, failed });
      this.#calls.set(id, call);
      this.#watch ??= setInterval(() => this.#look(), WATCH_INTERVAL_MS);
      return call;
    } catch (cause) {
      throw new HookError(`${what}: the head is too large`, { cause });
    }
  }

  #message(type: FrameType, id: number, value: unknown): void {
    if (type === FRAME.event) {
      const { message, at } = parseFailure((value as { fatal?: unknown } | null)?.fatal);
      this.#kill(`was ended by an error that nothing caught: ${message}${placeOf(at)}`);
    } else if (type === FRAME.call) {
      violation("a CALL frame");
    } else if (id === this.#ping?.id) {
      this.#ping.answered = true;
    } else {
      this.#find(id)?.reply(value);
    }
  }

  /** Undefined for a call that is over. @throws Error for one that never was */
  #find(id: number): OpenCall | undefined {
    if (id === 0 || id > this.#lastId) violation(`call ${id}, which never was`);
    return this.#calls.get(id);
  }

  #look(): void {
    if (this.#calls.size === 0 && this.#ping?.answered !== false) {
      this.#stopWatching();
      return;
    }
    const memoryProblem = this.#process.findMemoryProblem();
    if (memoryProblem !== null) {
      this.#kill(memoryProblem);
      return;
    }
    const now = performance.now();
    const ageMs = this.#ping === undefined ? Infinity : now - this.#ping.sentAt;
    if (this.#ping?.answered === false) {
      if (this.#ready && ageMs > this.#timeLimitMs)
        this.#kill(`was deaf for ${this.#timeLimitMs / 1000} s, as if in an endless loop`);
    } else if (ageMs > Math.min(PING_INTERVAL_MS, this.#timeLimitMs / 4)) {
      this.#ping = { id: ++this.#lastId, sentAt: now, answered: false };
      this.link.send(FRAME.call, this.#ping.id, { kind: "ping" });
    }
  }

  #stopWatching(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
    this.#ping = undefined;
  }

  #kill(problem: string): void {
    this.#problem ??= problem;
    this.#process.kill();
    this.link.close(this.#problem);
  }

  /** A socket that ends is mostly a process that ends, which has more to say. */
  #linkClosed(problem: string): void {
    if (this.#problem !== undefined) return;
    setTimeout(() => {
      if (this.#ended) return;
      this.#problem ??= problem;
      this.#process.kill();
    }, LAST_WORDS_MS).unref();
  }

  #finish(how: string): string {
    this.#ended = true;
    const problem = this.#problem ?? how;
    this.link.close(problem);
    for (const call of [...this.#calls.values()]) call.fail(new HookError(`the hook process ${problem}`));
    this.#stopWatching();
    return problem;
  }
}

async function startProcess(options: HookProcessOptions): Promise<HookProcess> {
  try {
    return await HookProcess.start(options);
  } catch (cause) {
    throw new SbxError("internal", "the hook process cannot be started", { cause });
  }
}

function ownWords(what: string): (failure: HostFailure) => string {
  return ({ message, at }) => `${what} failed: ${message}${placeOf(at)}`;
}

/** Without its directory: the sandbox is told such a message, and where things lie on the host is not its business. */
function placeOf(at: string | null): string {
  return at === null ? "" : ` (${path.basename(at)})`;
}

function violation(what: string): never {
  throw new Error(what);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
