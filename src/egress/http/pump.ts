/** Carries a body from one leg to the other: as fast as the slower of them, and never longer or shorter than announced. */
import type { Readable, Transform } from "node:stream";
import type { BodySink } from "./exchange.ts";

/** The bytes are not those that the message's Content-Length announced. */
export class LengthError extends Error {
  override readonly name = "LengthError";
}

/** Who was written to is gone, and knows best why. */
export class SinkClosedError extends Error {
  override readonly name = "SinkClosedError";
}

export interface Meter {
  bytes: number;
}

/**
 * Settles when the source has ended; ending the sink is the caller's. The source is what the caller destroys to stop it.
 *
 * @param expectedBytes from the head that went before; `null` where it said nothing
 */
export function pump(source: Readable, sink: BodySink, expectedBytes: number | null, meter: Meter): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (error: Error | null): void => {
      source.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
      sink.off("drain", onDrain);
      sink.off("close", onSinkClose);
      // What is destroyed later may fail once more.
      source.on("error", () => undefined);
      // Its flow is left alone: whoever discards the rest may have begun.
      if (error === null) resolve();
      else reject(error);
    };
    const onData = (chunk: Buffer): void => {
      if (sink.destroyed) {
        onSinkClose();
        return;
      }
      meter.bytes += chunk.length;
      if (expectedBytes !== null && meter.bytes > expectedBytes) {
        stop(new LengthError(`a body of ${expectedBytes} bytes was announced, and more came`));
      } else if (!sink.write(chunk)) {
        source.pause();
        sink.once("drain", onDrain);
      }
    };
    const onDrain = (): void => {
      source.resume();
    };
    const onEnd = (): void => {
      const short = expectedBytes !== null && meter.bytes < expectedBytes;
      stop(short ? new LengthError(`a body of ${expectedBytes} bytes was announced, and ${meter.bytes} came`) : null);
    };
    const onError = (error: Error): void => {
      stop(error);
    };
    const onClose = (): void => {
      stop(new Error("the body was cut off"));
    };
    const onSinkClose = (): void => {
      stop(new SinkClosedError("the receiver is gone"));
    };
    if (source.readableEnded) {
      onEnd();
      return;
    }
    if (sink.destroyed) {
      onSinkClose();
      return;
    }
    if (source.destroyed) {
      stop(source.errored ?? new Error("the body was cut off"));
      return;
    }
    source.on("data", onData).once("end", onEnd).once("error", onError).once("close", onClose);
    sink.once("close", onSinkClose);
  });
}

/**
 * Puts a transform into a body's way. Unlike `pipeline` it leaves the source alone when the transform fails: destroying a
 * request's body would take the connection along on which the guest is to be told.
 */
export function through(source: Readable, transform: Transform): Readable {
  transform.on("error", () => undefined);
  pump(source, transform, null, { bytes: 0 }).then(
    () => transform.end(),
    (error: unknown) => transform.destroy(error instanceof SinkClosedError ? undefined : (error as Error)),
  );
  return transform;
}

/** Reads what is left and throws it away, up to a limit. @returns whether the source came to its end */
export function discard(source: Readable, maxBytes: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let left = maxBytes;
    const stop = (ended: boolean): void => {
      clearTimeout(timer);
      source.off("data", onData).off("end", onEnd).off("close", onClose);
      source.on("error", () => undefined);
      if (!ended) source.pause();
      resolve(ended);
    };
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left < 0) stop(false);
    };
    const onEnd = (): void => {
      stop(true);
    };
    const onClose = (): void => {
      stop(source.readableEnded);
    };
    const timer = setTimeout(() => {
      stop(false);
    }, timeoutMs).unref();
    if (source.readableEnded || source.destroyed) {
      stop(source.readableEnded);
      return;
    }
    source
      .on("data", onData)
      .once("end", onEnd)
      .once("close", onClose)
      .on("error", () => undefined);
    source.resume();
  });
}
