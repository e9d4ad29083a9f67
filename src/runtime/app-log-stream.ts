/** What an app logs, as it comes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AppLogLine } from "./apps.ts";

const POLL_MS = 500;

export interface LogStreamOptions {
  /** Epoch `ms`. */
  since: number;
  /** Epoch `ms`; the stream ends when it has passed. Without it, the stream follows. */
  until: number | undefined;
  now: () => number;
  /** Ends the stream. */
  signal: AbortSignal;
}

/** @param read all lines from a time on, in order */
export async function* streamLogs(
  read: (since: number) => Promise<AppLogLine[]>,
  { since, until, now, signal }: LogStreamOptions,
): AsyncIterable<AppLogLine> {
  let from = since;
  /** Lines of the time `from` that were given already. */
  let given = 0;
  while (!signal.aborted) {
    // Taken before the lines are: none that comes meanwhile is missed.
    const isLast = until !== undefined && now() >= until;
    for (const line of (await read(from)).slice(given)) {
      given = line.time === from ? given + 1 : 1;
      from = line.time;
      yield line;
    }
    if (isLast) return;
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined); // aborted: the loop ends
  }
}
