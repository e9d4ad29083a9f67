/** A limit on how long a guest's command may run: SIGTERM, a grace, SIGKILL, and in the end without the guest's word. */
import type { ExecSession } from "../../runtime/runtime.ts";

/** The status that coreutils' `timeout` gives for a command that ran out of time. */
export const TIMED_OUT_STATUS = 124;
/** From SIGTERM to SIGKILL, and from there to giving up, `ms`. */
export const KILL_GRACE_MS = 5000;

export interface TimeLimit extends Disposable {
  readonly expired: boolean;
  /** Settles when the guest did not end even after SIGKILL; never without a limit. */
  readonly abandoned: Promise<void>;
}

/** Starts the clock. @param limitMs `undefined` for no limit */
export function startTimeLimit(session: Pick<ExecSession, "signal">, limitMs: number | undefined): TimeLimit {
  const { promise: abandoned, resolve } = Promise.withResolvers<undefined>();
  let expired = false;
  let timer: NodeJS.Timeout | undefined;
  const after = (ms: number, act: () => void): void => {
    timer = setTimeout(act, ms);
  };
  if (limitMs !== undefined) {
    after(limitMs, () => {
      expired = true;
      session.signal("SIGTERM");
      after(KILL_GRACE_MS, () => {
        session.signal("SIGKILL");
        after(KILL_GRACE_MS, () => resolve(undefined));
      });
    });
  }
  return {
    get expired() {
      return expired;
    },
    abandoned,
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
