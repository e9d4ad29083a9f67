/** Carries a body from one leg to the other: as fast as the slower of them, and never longer or shorter than announced. */
import type { Readable, Transform } from "node:stream";
import type { BodyFilter } from "../secrets/secrets.ts";
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

export interface PumpOptions {
  /** From the head that went before; `null` where it said nothing. */
  expectedBytes: number | null;
  /** What the sink got. */
  meter: Meter;
  /** What it throws ends the body. */
  filter?: BodyFilter | null;
}

/** Settles when the source has ended; ending the sink is the caller's. The source is what the caller destroys to stop it. */
export function pump(source: Readable, sink: BodySink, options: PumpOptions): Promise<void> {
  const { expectedBytes, meter, filter } = options;
  return new Promise((resolve, reject) => {
    let stopped = false;
    const stop = (error: Error | null): void => {
      if (stopped) return;
      stopped = true;
      sink.off("close", onSinkClose);
      if (error === null) {
        // From a source that is at its end nothing comes: to take off what listens to it costs as much as a small body.
        resolve();
        return;
      }
      source.off("data", onData);
      // Its flow is left alone: whoever discards the rest may have begun.
      reject(error);
    };
    /** @returns whether more may come */
    const send = (chunk: Buffer): boolean => {
      meter.bytes += chunk.length;
      if (expectedBytes === null || meter.bytes <= expectedBytes) return sink.write(chunk);
      throw new LengthError(`a body of ${expectedBytes} bytes was announced, and more came`);
    };
    const onData = (chunk: Buffer): void => {
      if (sink.destroyed) {
        onSinkClose();
        return;
      }
      try {
        let takesMore = true;
        if (filter) for (const bytes of filter.push(chunk)) takesMore = send(bytes);
        else takesMore = send(chunk);
        if (takesMore) return;
        source.pause();
        sink.once("drain", onDrain);
      } catch (error) {
        stop(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const onDrain = (): void => {
      if (!stopped) source.resume();
    };
    const onEnd = (): void => {
      try {
        if (filter && !stopped) for (const bytes of filter.end()) send(bytes);
      } catch (error) {
        stop(error instanceof Error ? error : new Error(String(error)));
      }
      const short = expectedBytes !== null && meter.bytes < expectedBytes;
      stop(short ? new LengthError(`a body of ${expectedBytes} bytes was announced, and ${meter.bytes} came`) : null);
    };
    const onClose = (): void => {
      // It follows the end as well, and an error is not made for nothing.
      if (!stopped) stop(new Error("the body was cut off"));
    };
    const onSinkClose = (): void => {
      if (!stopped) stop(new SinkClosedError("the receiver is gone"));
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
    // What is destroyed later may fail once more: that listener stays.
    source.on("data", onData).on("end", onEnd).on("error", stop).on("close", onClose);
    sink.once("close", onSinkClose);
  });
}

/**
 * Puts a transform into a body's way. Unlike `pipeline` it leaves the source alone when the transform fails: destroying a
 * request's body would take the connection along on which the guest is to be told.
 */
export function through(source: Readable, transform: Transform): Readable {
  transform.on("error", () => undefined);
  pump(source, transform, { expectedBytes: null, meter: { bytes: 0 } }).then(
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
