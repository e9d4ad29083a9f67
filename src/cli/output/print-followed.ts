/** Prints what may have no end, a line each, as fast as it is read, until it ends or the user does. */
import type { Writable } from "node:stream";
import { isAbort } from "../errors/funnel.ts";
import type { Interrupt } from "../interrupt.ts";
import { writeWithPressure } from "./pressure.ts";

export interface PrintFollowedOptions<T> {
  /** One line, without its end. */
  render: (item: T) => string;
  stdout: Writable;
  interrupt: Interrupt;
  /** Whether it goes on until it is interrupted: Ctrl-C is how one stops that, and no failure then. */
  follow: boolean;
}

/**
 * Returns whether the items came to their own end.
 *
 * @throws what the items throw, and the reason of an interruption that is none of the above
 */
export async function printFollowed<T>(items: AsyncIterable<T>, options: PrintFollowedOptions<T>): Promise<boolean> {
  const { render, stdout, interrupt, follow } = options;
  const isLeaving = (): boolean => follow && interrupt.received === "SIGINT";
  try {
    for await (const item of items) {
      if (!(await writeWithPressure(stdout, `${render(item)}\n`))) return false;
    }
    if (!isLeaving()) interrupt.signal.throwIfAborted();
  } catch (error) {
    if (!(isLeaving() && isAbort(error))) throw error;
  }
  return !interrupt.signal.aborted;
}
