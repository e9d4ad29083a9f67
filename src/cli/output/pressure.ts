/** Writing as fast as the reader reads, for output that may have no end. */
import { once } from "node:events";
import type { Writable } from "node:stream";

/**
 * Writes and waits until the stream wants more.
 *
 * @returns false when nobody reads any more
 */
export async function writeWithPressure(stream: Writable, text: string): Promise<boolean> {
  if (stream.destroyed || stream.errored !== null) return false;
  if (stream.write(text)) return true;
  try {
    await once(stream, "drain");
    return true;
  } catch {
    // Any error of the stream (EPIPE) means the same here: the reader is gone.
    return false;
  }
}
