/**
 * SIGINT, SIGTERM and SIGHUP, for as long as a command runs. The first one aborts what the command is doing, so that it
 * cleans up and ends; a second Ctrl-C ends the process at once. While a guest's command runs, the signals are its own
 * (session/signals.ts takes them over).
 */
import type { SignalSource } from "./context.ts";

export const HANDLED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

export type HandledSignal = (typeof HANDLED_SIGNALS)[number];

/**
 * Two signals of a kind within this time are one, `ms`. Where bin/run.js had to start a newer Node, a terminal's Ctrl-C
 * reaches this process twice: from the terminal and from its launcher. Nobody presses a key that fast.
 */
const ECHO_MS = 50;

export class Interrupt implements Disposable {
  /** Aborted by the first signal that is not diverted. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #source: SignalSource;
  readonly #now: () => number;
  readonly #onSecond: (name: HandledSignal) => void;
  readonly #listeners: (readonly [HandledSignal, () => void])[];
  readonly #lastAt = new Map<HandledSignal, number>();
  #diverted: ((name: HandledSignal) => void) | undefined;
  #received: HandledSignal | undefined;

  /** @param onSecond called for each signal after the one that aborted */
  constructor(source: SignalSource, now: () => number, onSecond: (name: HandledSignal) => void) {
    this.signal = this.#controller.signal;
    this.#source = source;
    this.#now = now;
    this.#onSecond = onSecond;
    this.#listeners = HANDLED_SIGNALS.map((name) => [name, () => this.#handle(name)] as const);
    for (const [name, listener] of this.#listeners) source.on(name, listener);
  }

  /** The signal that aborted the command, if one did. */
  get received(): HandledSignal | undefined {
    return this.#received;
  }

  /** Hands every signal from now on to `handler` instead, until the result is disposed. */
  divert(handler: (name: HandledSignal) => void): Disposable {
    const before = this.#diverted;
    this.#diverted = handler;
    return {
      [Symbol.dispose]: () => {
        this.#diverted = before;
      },
    };
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) this.#source.off(name, listener);
  }

  #handle(name: HandledSignal): void {
    const now = this.#now();
    const echo = now - (this.#lastAt.get(name) ?? Number.NEGATIVE_INFINITY) < ECHO_MS;
    this.#lastAt.set(name, now);
    if (echo) return;
    if (this.#diverted !== undefined) {
      this.#diverted(name);
    } else if (this.#received === undefined) {
      this.#received = name;
      this.#controller.abort();
    } else {
      this.#onSecond(name);
    }
  }
}
