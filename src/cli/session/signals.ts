/**
 * Signals that reach sbx while a guest's command runs are the command's: they go to its whole process group. What is
 * left to sbx is the case where the guest does not listen.
 */
import type { ExecSession } from "../../runtime/runtime.ts";
import type { HandledSignal, Interrupt } from "../interrupt.ts";

/** A second Ctrl-C within this time means: give up, `ms`. */
export const GIVE_UP_WITHIN_MS = 1000;
/** A guest that outlives its terminal is killed after this, `ms`. */
export const HANGUP_GRACE_MS = 5000;

export interface SignalForwarder extends Disposable {
  /** Settles with the signal that made the user give up on the guest. */
  readonly gaveUp: Promise<HandledSignal>;
}

/** Forwards signals to the session until disposed. */
export function forwardSignals(
  interrupt: Interrupt,
  session: Pick<ExecSession, "signal">,
  now: () => number,
): SignalForwarder {
  const { promise: gaveUp, resolve } = Promise.withResolvers<HandledSignal>();
  let lastInterruptAt = Number.NEGATIVE_INFINITY;
  let hangup: NodeJS.Timeout | undefined;
  const giveUp = (name: HandledSignal): void => {
    session.signal("SIGKILL");
    resolve(name);
  };
  const diverted = interrupt.divert((name) => {
    const at = now();
    if (name === "SIGINT" && at - lastInterruptAt <= GIVE_UP_WITHIN_MS) {
      giveUp(name);
      return;
    }
    if (name === "SIGINT") lastInterruptAt = at;
    session.signal(name);
    // The terminal is gone and with it whoever could press Ctrl-C again.
    if (name === "SIGHUP") hangup ??= setTimeout(() => giveUp(name), HANGUP_GRACE_MS).unref();
  });
  return {
    gaveUp,
    [Symbol.dispose]: () => {
      clearTimeout(hangup);
      diverted[Symbol.dispose]();
    },
  };
}
