/** A persistent Deno REPL in the guest (deno-sandbox-protocol, section 3.6). What it answers is the guest's choice. */
import { findSerializedError, type SerializedError } from "../../protocol/rpc-error.ts";
import { CallError } from "./call-error.ts";
import type { ReplAnswer, ReplChannel } from "./deno-repl-channel.ts";
import { callExpression, INSTALL, mentionsLast, READ_RESULT, READ_THROWN, RESTORE_LAST } from "./deno-repl-script.ts";
import type { GuestProcess } from "./process-table.ts";

/** How long a REPL may take to end by itself, `ms`. */
const CLOSE_TIMEOUT_MS = 2_000;

export class DenoRepl {
  readonly #channel: ReplChannel;
  readonly #process: GuestProcess;
  /** The evaluation that others wait for: there is one at a time. */
  #tail: Promise<unknown>;

  constructor(channel: ReplChannel, process: GuestProcess) {
    this.#channel = channel;
    this.#process = process;
    this.#tail = channel.run(INSTALL, false);
    this.#tail.catch(() => undefined); // told to whoever evaluates first
    const close = (): void => channel.close();
    void process.exit.then(close, close);
  }

  /**
   * Runs statements and returns the value of the last expression, as far as JSON can tell it: undefined and functions
   * are null, a promise is awaited.
   *
   * @throws CallError with the class, message and stack of what the code threw
   */
  async evaluate(code: string): Promise<unknown> {
    return this.#inTurn(async () => {
      if (mentionsLast(code)) await this.#channel.run(RESTORE_LAST, false);
      const answer = await this.#channel.run(code, false);
      switch (answer.type) {
        case "RunSuccess":
          return this.#read(READ_RESULT);
        case "RunFailure":
          return this.#read(READ_THROWN);
        case "Error":
          throw new CallError(parseErrorText(answer.error));
      }
    });
  }

  /** Calls a function, given by name or source. @throws CallError as `evaluate` */
  async call(fn: string, args: readonly unknown[]): Promise<unknown> {
    return this.evaluate(callExpression(fn, args));
  }

  /** Ends the REPL and its process; settles when that is gone. A REPL that is busy gets a moment, then SIGKILL. */
  async close(): Promise<void> {
    const closing = this.#inTurn(async () => this.#channel.run("globalThis.close()", false));
    closing.catch(() => undefined); // the process ends before it answers
    const timer = setTimeout(() => {
      this.#process.signal("SIGKILL", false).catch(() => undefined); // gone in between
    }, CLOSE_TIMEOUT_MS);
    try {
      await this.#process.exit;
    } finally {
      clearTimeout(timer);
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async #read(expression: string): Promise<unknown> {
    const outcome = readOutcome(await this.#channel.run(expression, true));
    if ("error" in outcome) throw new CallError(outcome.error);
    return outcome.ok;
  }
}

/** @throws CallError if user code has broken what reads the results */
function readOutcome(answer: ReplAnswer): { ok: unknown } | { error: SerializedError } {
  try {
    const text = answer.type === "RunSuccess" ? (answer.output ?? "") : "";
    const value = JSON.parse(text) as { ok?: unknown; error?: unknown } | null;
    const error = value?.error === undefined ? undefined : findSerializedError(value.error);
    if (error !== undefined) return { error: withoutDetail(error) };
    if (value !== null && Object.hasOwn(value, "ok")) return { ok: value.ok ?? null };
  } catch {
    // not JSON: said below
  }
  throw new CallError({ constructorName: "InvalidData", message: "the REPL's result could not be read" });
}

/** The guest must not speak in the name of sbx, and a DOMException with a code makes clients throw. */
function withoutDetail(error: SerializedError): SerializedError {
  const told: SerializedError = { ...error };
  delete told.sbx;
  if (told.constructorName === "DOMException") delete told.code;
  return told;
}

/** `SyntaxError: Expression expected` and the like, from code that never ran. */
function parseErrorText(text: string): SerializedError {
  const named = /^([A-Z][A-Za-z]*Error): ([^]*)$/.exec(text);
  return {
    constructorName: named?.[1] ?? "Error",
    message: (named?.[2] ?? text).slice(0, 64 * 1024),
  };
}
