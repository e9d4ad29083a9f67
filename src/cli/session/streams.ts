/**
 * Bytes between this process and a guest's program. Nothing is interpreted, and back-pressure passes through in both
 * directions: a reader that sleeps makes the guest wait, a guest that does not read makes our stdin wait.
 */
import type { Readable, Writable } from "node:stream";
import { SbxError } from "../../runtime/errors.ts";

/** How a stream of output ended: all of it was handed on, or nobody reads it any more. */
export type OutputEnd = "complete" | "reader-gone";

/**
 * Copies a guest's output. The destination stays open.
 *
 * @returns when the last byte was accepted, or the reader of `destination` went away (EPIPE)
 * @throws what either stream fails with otherwise
 */
export async function copyOutput(source: Readable, destination: Writable): Promise<OutputEnd> {
  return new Promise<OutputEnd>((resolve, reject) => {
    const settle = (finish: () => void): void => {
      source.off("end", onEnd).off("close", onClose).off("error", onSourceError);
      destination.off("error", onDestinationError).off("close", onDestinationClose);
      source.unpipe(destination);
      finish();
    };
    const onEnd = (): void => settle(() => resolve("complete"));
    const onClose = (): void =>
      settle(() => {
        if (source.readableEnded) resolve("complete");
        else reject(brokenOff());
      });
    const onSourceError = (error: Error): void =>
      settle(() => reject(error instanceof SbxError ? error : brokenOff(error)));
    const onReaderGone = (): void => settle(() => resolve("reader-gone"));
    const onDestinationError = (error: NodeJS.ErrnoException): void => {
      if (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED") onReaderGone();
      else settle(() => reject(error));
    };
    const onDestinationClose = onReaderGone;
    source.on("end", onEnd).on("close", onClose).on("error", onSourceError);
    destination.on("error", onDestinationError).on("close", onDestinationClose);
    if (destination.destroyed) onReaderGone();
    else source.pipe(destination, { end: false });
  });
}

/** Whatever a guest's stream fails with, the link to the sandbox is what failed. */
function brokenOff(cause?: Error): SbxError {
  return new SbxError("connection_closed", "the output of the command broke off", { cause });
}

export interface InputCopy extends Disposable {
  /** Rejects when our stdin cannot be read; never settles otherwise. */
  readonly failed: Promise<never>;
}

/**
 * Copies our stdin to a guest's program until it ends or the result is disposed. A program that no longer reads is no
 * error: it may end when it likes.
 */
export function copyInput(source: Readable & { isTTY?: boolean | undefined }, destination: Writable): InputCopy {
  const { promise: failed, reject } = Promise.withResolvers<never>();
  // Nobody may be waiting for it any more when it fails.
  failed.catch(() => undefined);
  const stop = (): void => {
    source.unpipe(destination);
    source.pause();
  };
  const onSourceError = (error: NodeJS.ErrnoException): void => {
    // A terminal that was hung up reads as EIO: the end of input.
    if (error.code === "EIO" && source.isTTY === true) destination.end();
    else reject(error);
  };
  const onDestinationError = (): void => stop();
  source.on("error", onSourceError);
  destination.on("error", onDestinationError);
  source.pipe(destination);
  return {
    failed,
    [Symbol.dispose]: () => {
      stop();
      source.off("error", onSourceError);
    },
  };
}
