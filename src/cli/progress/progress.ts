/**
 * Progress on stderr. On a terminal a spinner (ora, loaded only when it is needed) with a bar where amounts are known; elsewhere a
 * plain line now and then. What is over within half a second shows nothing.
 */
import type { ProgressEvent } from "../../runtime/types.ts";
import { colorLevel, type ColorEnvironment } from "../output/palette.ts";
import type { OutputStream } from "../context.ts";
import { progressBar, progressLine } from "./progress-text.ts";

/** Nothing is shown before this, `ms`. */
export const QUIET_START_MS = 500;
/** Plain lines of one stage are at least this far apart, `ms`. */
export const LINE_INTERVAL_MS = 10_000;
/** Plain lines of different stages are at least this far apart, `ms`. */
const STAGE_INTERVAL_MS = 500;

/** Columns that the spinner itself and a margin take. */
const SPINNER_COLUMNS = 3;

export interface Progress extends Disposable {
  readonly onProgress: (event: ProgressEvent) => void;
  /** Takes away what is shown, before anything else is printed. May be called more than once. */
  stop(): void;
}

export interface ProgressOptions {
  stream: OutputStream;
  env: ColorEnvironment;
  /** Show nothing at all. */
  silent: boolean;
}

export function openProgress(options: ProgressOptions): Progress {
  if (options.silent) return new SilentProgress();
  const terminal = options.stream.isTTY === true && options.env.TERM !== "dumb";
  return terminal ? new SpinnerProgress(options) : new LineProgress(options.stream);
}

class SilentProgress implements Progress {
  readonly onProgress = (): void => undefined;
  stop(): void {
    // Nothing was shown.
  }
  [Symbol.dispose](): void {
    this.stop();
  }
}

/** A line when a stage begins, and again for one that lasts. */
class LineProgress implements Progress {
  readonly #stream: OutputStream;
  readonly #startedAt = performance.now();
  #timer: { due: number; handle: NodeJS.Timeout } | undefined;
  #latest: ProgressEvent | undefined;
  #shown: { stage: string; text: string; at: number } | undefined;
  #stopped = false;

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  readonly onProgress = (event: ProgressEvent): void => {
    if (this.#stopped) return;
    this.#latest = event;
    const now = performance.now();
    const due = this.#dueAt(event);
    if (now >= due) {
      this.#show();
    } else if (this.#timer === undefined || due < this.#timer.due) {
      clearTimeout(this.#timer?.handle);
      this.#timer = { due, handle: setTimeout(() => this.#show(), due - now).unref() };
    }
  };

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer?.handle);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #dueAt(event: ProgressEvent): number {
    if (this.#shown === undefined) return this.#startedAt + QUIET_START_MS;
    return this.#shown.at + (event.stage === this.#shown.stage ? LINE_INTERVAL_MS : STAGE_INTERVAL_MS);
  }

  #show(): void {
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
    const event = this.#latest;
    if (event === undefined) return;
    const text = progressLine(event);
    if (text !== this.#shown?.text) this.#stream.write(`${text}\n`);
    this.#shown = { stage: event.stage, text, at: performance.now() };
  }
}

class SpinnerProgress implements Progress {
  readonly #options: ProgressOptions;
  readonly #rate = new RateMeter();
  readonly #timer: NodeJS.Timeout;
  #spinner: { text: string; stop(): unknown } | undefined;
  #latest: ProgressEvent | undefined;
  #stopped = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => void this.#start(), QUIET_START_MS).unref();
  }

  readonly onProgress = (event: ProgressEvent): void => {
    this.#latest = event;
    this.#rate.add(event);
    if (this.#spinner !== undefined) this.#spinner.text = this.#text();
  };

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#spinner?.stop();
    this.#spinner = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  async #start(): Promise<void> {
    const { default: ora } = await import("ora");
    // Stopped while ora was being loaded: there is nothing to show any more.
    if (this.#stopped) return;
    const { stream, env } = this.#options;
    this.#spinner = ora({
      stream,
      text: this.#text(),
      // The cursor stays: nothing has to be put right when the process is killed. Stdin is the guest's.
      hideCursor: false,
      discardStdin: false,
      ...(colorLevel(stream, env) === 0 ? { color: false as const } : {}),
    }).start();
  }

  #text(): string {
    const width = (this.#options.stream.columns ?? 80) - SPINNER_COLUMNS;
    return this.#latest === undefined ? "" : progressBar(this.#latest, width, this.#rate.bytesPerSecond);
  }
}

/** Bytes a second since the current stage began. */
class RateMeter {
  #stage: string | undefined;
  #startedAt = 0;
  #startedWith = 0;
  bytesPerSecond: number | undefined;

  add(event: ProgressEvent): void {
    const now = performance.now();
    if (event.stage !== this.#stage) {
      this.#stage = event.stage;
      this.#startedAt = now;
      this.#startedWith = event.done ?? 0;
      this.bytesPerSecond = undefined;
    } else if (event.unit === "bytes" && event.done !== undefined && now - this.#startedAt > QUIET_START_MS) {
      this.bytesPerSecond = ((event.done - this.#startedWith) * 1000) / (now - this.#startedAt);
    }
  }
}
