/**
 * Tests paths against regular expressions, both hostile: the expression came from a client, the paths from the guest,
 * and together they can be made to run for ever. So they meet in a context of their own under a watchdog, many paths
 * at a time, and one walk has only so much time for it.
 */
import vm from "node:vm";
import { CallError } from "./call-error.ts";

export interface Pattern {
  source: string;
  flags: string;
}

/** Time for one batch, `ms`. */
const BATCH_MS = 250;
/** On a host under load the time may pass without any of it having been this thread's: then it is tried again. */
const STARVED_BATCH_MS = BATCH_MS / 2;
const MAX_ATTEMPTS = 5;
/** A batch of honest expressions takes less than this; what is over counts against the whole walk's limit, `ms`. */
const HONEST_BATCH_MS = 20;
const TOTAL_EXCESS_MS = 2_000;

/**
 * Runs in the context: `input.patterns` are lists of expressions, `input.paths` the paths; answers one text a path, a
 * digit a list: 1 if any of its expressions matches.
 */
const SCRIPT = `(() => {
  const lists = input.patterns.map((list) => list.map(({ source, flags }) => new RegExp(source, flags)));
  const anyMatches = (list, path) => list.some((pattern) => { pattern.lastIndex = 0; return pattern.test(path); });
  return JSON.stringify(input.paths.map((path) => lists.map((list) => (anyMatches(list, path) ? 1 : 0)).join("")));
})()`;

let script: vm.Script | undefined;
let context: vm.Context | undefined;

export class PatternMatcher {
  readonly #patterns: Pattern[][];
  #excessMs = 0;

  /**
   * @param lists each path is tested against each list
   * @throws CallError (SyntaxError) for an expression that is none
   */
  constructor(lists: Pattern[][]) {
    this.#patterns = lists.map((list) =>
      list.map(({ source, flags }) => ({ source, flags: flags.replaceAll(/[gy]/g, "") })),
    );
    if (lists.some((list) => list.length > 0)) this.#run([]);
  }

  /**
   * For each path, for each list, whether any of its expressions matches.
   *
   * @throws CallError when the expressions take too long
   */
  match(paths: readonly string[]): boolean[][] {
    if (paths.length === 0) return [];
    if (this.#patterns.every((list) => list.length === 0)) return paths.map(() => this.#patterns.map(() => false));
    return this.#run(paths).map((digits) => Array.from(digits, (digit) => digit === "1"));
  }

  #run(paths: readonly string[]): string[] {
    if (this.#excessMs > TOTAL_EXCESS_MS) throw tooSlow();
    script ??= new vm.Script(SCRIPT);
    context ??= vm.createContext(Object.create(null) as object, { codeGeneration: { strings: false, wasm: false } });
    context["input"] = { patterns: this.#patterns, paths };
    try {
      for (let attempt = 1; ; attempt += 1) {
        const before = process.threadCpuUsage();
        try {
          return JSON.parse(script.runInContext(context, { timeout: BATCH_MS }) as string) as string[];
        } catch (error) {
          const isStarved = isTimeout(error) && busyMs(before) < STARVED_BATCH_MS;
          if (!isStarved || attempt === MAX_ATTEMPTS) throw describeFailure(error);
        } finally {
          this.#excessMs += Math.max(0, busyMs(before) - HONEST_BATCH_MS);
        }
      }
    } finally {
      context["input"] = undefined;
    }
  }
}

/** Processor time of this thread since then. */
function busyMs(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

function isTimeout(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
}

/** Errors of the context are of its own classes: only their words are taken. */
function describeFailure(error: unknown): CallError {
  if (isTimeout(error)) return tooSlow();
  const { message } = error as { message?: unknown };
  return new CallError({ constructorName: "SyntaxError", message: String(message).slice(0, 4096) });
}

function tooSlow(): CallError {
  return new CallError({ constructorName: "TimedOut", message: "matching the patterns takes too long" });
}
