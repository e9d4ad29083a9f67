/** How long what does not come up, or ends as soon as it has, is left alone before it is tried again. */
import { SbxError } from "../../errors.ts";

/** Doubled with each failure in a row, `ms`. */
const FIRST_PAUSE_MS = 1000;
const LAST_PAUSE_MS = 60_000;
/** What has lived for so long has come up, whatever happens then, `ms`. */
export const STEADY_MS = 10_000;

export class BackOff {
  #failures = 0;
  /** Of `now`. */
  #until = 0;
  #reason: SbxError | undefined;
  readonly #now: () => number;

  /** @param now monotonic, `ms` */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @throws SbxError that says why it failed, while it is left alone */
  check(): void {
    if (this.#reason !== undefined && this.#now() < this.#until) throw this.#reason;
  }

  /** It did not come up. What is not the program's fault says nothing of it. */
  failed(error: unknown): void {
    if (error instanceof SbxError && error.code === "guest_error") this.#note(error, FIRST_PAUSE_MS);
  }

  /** Its program has ended, so long after it had come up, `ms`. Once is no loop. */
  ended(livedMs: number): void {
    if (livedMs >= STEADY_MS) this.reset();
    else {
      const reason = new SbxError("guest_error", "the program ends again and again", { hint: "sbx app logs APP" });
      this.#note(reason, this.#failures === 0 ? 0 : FIRST_PAUSE_MS);
    }
  }

  reset(): void {
    this.#failures = 0;
    this.#until = 0;
    this.#reason = undefined;
  }

  #note(reason: SbxError, pauseMs: number): void {
    this.#until = this.#now() + Math.min(LAST_PAUSE_MS, pauseMs * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    this.#reason = reason;
  }
}
