/** A connection to a server of the guest over the guest's network card, as a promise. */
import type { Duplex } from "node:stream";
import type { WaitingStack } from "../../egress/waiting-stack.ts";

export interface CardDialOptions {
  signal: AbortSignal;
  /** For the guest to answer, `ms`. */
  timeoutMs: number;
  /** What is sent first, with the last segment of the handshake. */
  first?: Buffer | undefined;
}

/** The guest's kernel says nothing: it does not let such connections in, or is busy. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";
}

/** @throws FlowError, {@link NoAnswerError}, the signal's reason */
export async function dialOverCard(
  stack: Pick<WaitingStack, "connect">,
  port: number,
  { signal, timeoutMs, first }: CardDialOptions,
): Promise<Duplex> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      stream.off("error", onError);
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    const onAbort = (): void => void stream.destroy(signal.reason as Error);
    const stream = stack.connect(port, () => {
      settle();
      resolve(stream);
    });
    const timer = setTimeout(() => stream.destroy(new NoAnswerError(`port ${port} did not answer`)), timeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("error", onError);
    if (first !== undefined) stream.write(first);
  });
}
