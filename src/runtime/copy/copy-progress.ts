/** Progress of a copy as events that a terminal can follow. */
import type { ProgressEvent } from "../types.ts";

/** Shortest time between two events, `ms`. */
const INTERVAL_MS = 50;

/**
 * Turns byte counts into events, at most one in 50 ms.
 *
 * @param total bytes in all, if they are known
 */
export function copyProgress(
  onProgress: ((event: ProgressEvent) => void) | undefined,
  message: string,
  total?: number,
): { onBytes: (bytes: number) => void; finish: () => void } {
  let lastMs = 0;
  let done = 0;
  const emit = (): void => {
    onProgress?.({ stage: "copy", message, done, unit: "bytes", ...(total === undefined ? {} : { total }) });
  };
  return {
    onBytes: (bytes) => {
      done = bytes;
      const now = performance.now();
      if (now - lastMs < INTERVAL_MS) return;
      lastMs = now;
      emit();
    },
    finish: emit,
  };
}
