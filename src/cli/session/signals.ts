/**
 * Signals that reach sbx while a guest's command runs are the command's: they go to its whole process group. What is
 * left to sbx is the case where the guest does not listen.
 */
import type { ExecSession } from "../../runtime/runtime.ts";
import type { HandledSignal, Interrupt } from "../interrupt.ts";

/** A second Ctrl-C within this time means: give up, `ms`. */
export const GIVE_UP_WITHIN_MS = 1000;
/** A guest that does not end when it must is killed after this, `ms`. */
export const MUST_END_GRACE_MS = 5000;

export interface SignalForwarder extends Disposable {
  /** Settles with the signal that made the user give up on the guest. */
  readonly gaveUp: Promise<HandledSignal>;
}

export interface ForwardOptions {
  /** Whether the guest's program has a terminal. An interactive shell ignores SIGTERM, and ours cannot outlive it. */
  terminal: boolean;
  now: () => number;
}

/** Forwards signals to the session until disposed. */
export function forwardSignals(
  interrupt: Interrupt,
  session: Pick<ExecSession, "signal">,
  { terminal, now }: ForwardOptions,
): SignalForwarder {
  const { promise: gaveUp, resolve } = Promise.withResolvers<HandledSignal>();
  let lastInterruptAt = Number.NEGATIVE_INFINITY;
  let mustEnd: NodeJS.Timeout | undefined;
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
    // After SIGHUP the terminal is gone, and with it whoever could press Ctrl-C again.
    if (name === "SIGHUP" || (terminal && name === "SIGTERM")) {
      mustEnd ??= setTimeout(() => giveUp(name), MUST_END_GRACE_MS).unref();
    }
  });
  return {
    gaveUp,
    [Symbol.dispose]: () => {
      clearTimeout(mustEnd);
      diverted[Symbol.dispose]();
    },
  };
}
