/** Waiting until something listens, for a page that says that nothing does. */
import { setTimeout as sleep } from "node:timers/promises";
import { DialError, type Target } from "./target.ts";

/** Each look costs the guest a moment: soon at first, then more and more seldom, `ms`. */
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 1000;
const PAUSE_GROWTH = 1.3;

/** Whether there is a server before the signal fires. @throws DialError `gone` */
export async function waitForServer(target: Target, signal: AbortSignal): Promise<boolean> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * PAUSE_GROWTH, LAST_PAUSE_MS)) {
    try {
      if (!target.isPaused()) {
        (await target.dial(undefined, signal)).destroy();
        return true;
      }
    } catch (error) {
      if (error instanceof DialError && error.trouble === "gone") throw error;
      // Not yet, whatever the reason.
    }
    try {
      await sleep(pauseMs, undefined, { signal });
    } catch {
      return false;
    }
  }
}
