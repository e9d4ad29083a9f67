/** Starts the hook process, keeps it going, and puts what hooks and rules say into the interceptor's terms. */
import { realpathSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { checkExpression } from "../../policy/expression.ts";
import type { ExpressionSpec, RequestTarget } from "../../policy/spec.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { RequestHead, ResponseHead } from "../http-heads.ts";
import { KeptBudget } from "./body-tap.ts";
import type { HookCall } from "./hook-call.ts";
import { hasDotSegments } from "./dot-segments.ts";
import { HookKeeper } from "./hook-keeper.ts";
import { HookLog } from "./hook-log.ts";
import { parseEvaluateResult, parseHookResult, type HookResult, type HostCallMessage } from "./hook-messages.ts";
import { type ExpressionOutcome, HookError, type Hooks, type RequestOutcome, type ResponseOutcome } from "./hooks.ts";
import { urlOf } from "./host/presented.ts";
import { requestOutcome, responseOutcome } from "./outcomes.ts";

/** Longest time of one hook, without the body that it returns, `ms`. */
export const HOOK_TIME_LIMIT_MS = 10_000;
/** Longest time of one rule in JavaScript, `ms`. */
export const EXPRESSION_TIME_LIMIT_MS = 250;
export const HOOK_MEMORY_LIMIT_MIB = 256;
const START_TIME_LIMIT_MS = 30_000;

export interface HookOptions {
  /** The user's module; `null` for rules alone. */
  modulePath: string | null;
  expressions: readonly ExpressionSpec[];
  sandbox: { id: string; name: string };
  nodePath: string;
  /** The program of the hook process, `hook-host.ts` as built. */
  scriptPath: string;
  timeLimitMs?: number;
  expressionTimeLimitMs?: number;
  startTimeLimitMs?: number;
  memoryLimitMiB?: number;
  /** Takes what hooks print, bounded and without control characters. */
  log: (line: string) => void;
  signal?: AbortSignal;
}

/**
 * Loads the module and the rules in a process of their own. Without either there is no process.
 *
 * @throws SbxError `config_invalid` for a module that cannot be used, `usage` for a rule that does not parse
 */
export async function startHooks(options: HookOptions): Promise<Hooks> {
  for (const { text } of options.expressions) checkExpression(text);
  const modulePath = options.modulePath === null ? null : findModule(options.modulePath);
  if (modulePath === null && options.expressions.length === 0) return new NoHooks();
  const { timeLimitMs = HOOK_TIME_LIMIT_MS, signal = new AbortController().signal } = options;
  const log = new HookLog(options.log);
  const keeper = new HookKeeper(
    {
      nodePath: options.nodePath,
      scriptPath: options.scriptPath,
      cwd: modulePath === null ? "/" : path.dirname(modulePath),
      memoryLimitMiB: options.memoryLimitMiB ?? HOOK_MEMORY_LIMIT_MIB,
      log,
      init: {
        kind: "init",
        modulePath,
        expressions: options.expressions.map(({ text }) => text),
        expressionTimeLimitMs: options.expressionTimeLimitMs ?? EXPRESSION_TIME_LIMIT_MS,
        sandbox: options.sandbox,
      },
      startTimeLimitMs: options.startTimeLimitMs ?? START_TIME_LIMIT_MS,
      timeLimitMs,
      budget: new KeptBudget(),
    },
    log,
  );
  const { onRequest, onResponse } = (await keeper.session(signal)).hooks;
  return new ProcessHooks(keeper, {
    onRequest,
    onResponse,
    expressions: options.expressions,
    timeLimitMs,
    name: modulePath === null ? "" : path.basename(modulePath),
  });
}

/** The module's real path, from which its relative imports are resolved. */
function findModule(modulePath: string): string {
  try {
    return realpathSync(modulePath);
  } catch (cause) {
    throw new SbxError("config_invalid", `the hook ${modulePath} cannot be read`, {
      cause,
      hint: "--hook takes the path of a TypeScript or JavaScript module",
    });
  }
}

interface ProcessHooksOptions {
  onRequest: boolean;
  onResponse: boolean;
  expressions: readonly ExpressionSpec[];
  timeLimitMs: number;
  /** The module's file name, for messages. */
  name: string;
}

class ProcessHooks implements Hooks {
  readonly onRequestDefined: boolean;
  readonly onResponseDefined: boolean;
  readonly #keeper: HookKeeper;
  readonly #options: ProcessHooksOptions;

  constructor(keeper: HookKeeper, options: ProcessHooksOptions) {
    this.#keeper = keeper;
    this.#options = options;
    this.onRequestDefined = options.onRequest;
    this.onResponseDefined = options.onResponse;
  }

  get trouble(): string | null {
    return this.#keeper.trouble;
  }

  async onRequest(head: RequestHead, body: Readable | null, signal: AbortSignal, flow = 0): Promise<RequestOutcome> {
    if (!this.onRequestDefined) return { kind: "forward", head, body };
    // Those that the class resolves are sent resolved; what is left is not what it looks like.
    if (hasDotSegments(head.target) && hasDotSegments(new URL(urlOf(head)).pathname)) {
      throw new HookError("its path has . or .. segments that are written such that no hook can decide about them");
    }
    return await this.#ask(
      { kind: "request", head, body: body !== null, flow },
      { body, signal, what: `onRequest of ${this.#options.name}` },
      (result, call) => requestOutcome(result, call, head, body),
    );
  }

  async onResponse(
    request: RequestHead,
    head: ResponseHead,
    body: Readable | null,
    signal: AbortSignal,
    flow = 0,
  ): Promise<ResponseOutcome> {
    if (!this.onResponseDefined) return { head, body };
    return await this.#ask(
      { kind: "response", request, head, body: body !== null, flow },
      { body, signal, what: `onResponse of ${this.#options.name}` },
      (result, call) => responseOutcome(result, call, head, body),
    );
  }

  async evaluate(target: RequestTarget, signal: AbortSignal): Promise<ExpressionOutcome> {
    const { expressions, timeLimitMs } = this.#options;
    if (expressions.length === 0) return { verdict: "deny", expression: null, message: null };
    if (hasDotSegments(target.target)) {
      const message = "its path has . or .. segments, about which no rule in JavaScript can decide";
      return { verdict: "deny", expression: null, message };
    }
    try {
      const session = await this.#keeper.session(signal);
      const { value } = await session.call({
        message: { kind: "evaluate", target },
        body: null,
        signal,
        timeLimitMs,
        what: "the rules in JavaScript",
        read: (result) => ({ value: parseEvaluateResult(result, expressions.length), streams: false }),
      });
      const expression = expressions[value.allowed] ?? null;
      return { verdict: expression === null ? "deny" : "allow", expression, message: value.message };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { verdict: "deny", expression: null, message };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper[Symbol.asyncDispose]();
  }

  async #ask<T>(
    message: HostCallMessage,
    { body, signal, what }: { body: Readable | null; signal: AbortSignal; what: string },
    toOutcome: (result: HookResult, call: HookCall<HookResult>) => T,
  ): Promise<T> {
    const session = await this.#keeper.session(signal);
    const { value, call } = await session.call({
      message,
      body,
      signal,
      what,
      timeLimitMs: this.#options.timeLimitMs,
      read: (result) => {
        const value = parseHookResult(result);
        return { value, streams: value.kind !== "same" && value.body === "stream" };
      },
    });
    try {
      return toOutcome(value, call);
    } catch (error) {
      call.cancel(error as Error);
      throw error;
    }
  }
}

/** No module and no rules. */
class NoHooks implements Hooks {
  readonly onRequestDefined = false;
  readonly onResponseDefined = false;
  readonly trouble = null;

  async onRequest(head: RequestHead, body: Readable | null): Promise<RequestOutcome> {
    return { kind: "forward", head, body };
  }

  async onResponse(_request: RequestHead, head: ResponseHead, body: Readable | null): Promise<ResponseOutcome> {
    return { head, body };
  }

  async evaluate(): Promise<ExpressionOutcome> {
    return { verdict: "deny", expression: null, message: null };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing was started.
  }
}
