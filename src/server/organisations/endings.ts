/**
 * Sandboxes of an organisation that are on their way out. A client that has closed its session's connection expects what
 * the sandbox held to be free: the next call that needs it waits for the end, and is not told of a conflict.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { toApiError, type ApiCode } from "../api-error.ts";

const HELD: readonly ApiCode[] = ["VOLUME_IN_USE", "SNAPSHOT_IN_USE"];
/** A client may know that its connection is closed before the server does, `ms`. */
const NOTICE_MS = 50;
/** How often what is held by nobody that is ending is asked for again. */
const NOTICES = 3;
/** No end takes so long; one that does is a conflict, `ms`. */
const PATIENCE_MS = 10_000;

export class Endings {
  readonly #ending = new Set<PromiseLike<unknown>>();

  /** An end that is under way. It may fail. */
  async track(end: PromiseLike<void>): Promise<void> {
    this.#ending.add(end);
    try {
      await end;
    } finally {
      this.#ending.delete(end);
    }
  }

  /** What `work` returns, once what it needs is held by no sandbox that is ending. */
  async whenFree<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const patience = AbortSignal.timeout(PATIENCE_MS);
    for (let notices = 0; ;) {
      try {
        return await work();
      } catch (error) {
        const isHeld = HELD.includes(toApiError(error).code);
        if (!isHeld || notices >= NOTICES || patience.aborted || signal?.aborted === true) throw error;
      }
      const ending = [...this.#ending];
      if (ending.length === 0) notices++;
      await Promise.race([
        ending.length === 0 ? sleep(NOTICE_MS) : Promise.allSettled(ending),
        sleep(PATIENCE_MS, undefined, { ref: false }),
      ]);
    }
  }
}
