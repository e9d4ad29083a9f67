/** Time for the stack: one source, so that tests can move it. */

export interface Clock {
  /** Monotonic, `ms`. */
  now(): number;
  /** Calls back once; the returned function cancels. */
  after(ms: number, callback: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    // The link keeps the process alive as long as there is a guest.
    timer.unref();
    return () => clearTimeout(timer);
  },
};
