/**
 * Calls that can be aborted, by the client's `abortId`. Aborts for ids that are finished or were never seen are
 * normal: the published SDK never removes its listeners.
 */
export class Aborts {
  readonly #controllers = new Map<number, AbortController>();

  /** A signal that fires with `abort(abortId)` or with `parent`. A later call with the same id takes it over. */
  open(abortId: number, parent: AbortSignal): { signal: AbortSignal; close: () => void } {
    const controller = new AbortController();
    this.#controllers.set(abortId, controller);
    return {
      signal: AbortSignal.any([controller.signal, parent]),
      close: () => {
        if (this.#controllers.get(abortId) === controller) this.#controllers.delete(abortId);
      },
    };
  }

  abort(abortId: number): void {
    this.#controllers.get(abortId)?.abort();
  }
}
