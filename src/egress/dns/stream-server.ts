/**
 * DNS over TCP: messages with two bytes of length before each, several on one connection, answered in order. The guest
 * may send them in any pieces, and cannot make more than what one read brings wait here.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";

/** A connection on which nothing happens for so long is closed, `ms`. */
const IDLE_MS = 10_000;
/** Longest message that is a query; nothing that a client asks is near it, `bytes`. */
const MAX_QUERY_BYTES = 4096;
/** Answers in a row, before others have their turn. */
const ANSWERS_A_TURN = 32;

export interface DnsStreamOptions {
  idleMs?: number;
}

/**
 * Answers until the guest ends, errs or is idle, and returns when the stream is closed. `answer` gives `null` for what
 * ends the connection. Never rejects.
 */
export async function serveDnsStream(
  stream: Duplex,
  answer: (message: Buffer) => Buffer | null,
  { idleMs = IDLE_MS }: DnsStreamOptions = {},
): Promise<void> {
  const timer = setTimeout(() => stream.destroy(), idleMs);
  const closed = new Promise<void>((resolve) => {
    if (stream.closed) resolve();
    else stream.once("close", resolve);
  });
  stream.on("error", () => undefined); // whoever reads the stream below sees it
  try {
    if (await answerAll(stream, answer, { timer, idleMs })) stream.end();
    else stream.destroy();
  } catch {
    // Reset by the guest, or it did not read its answers in time: there is nobody to tell.
    stream.destroy();
  }
  await closed;
  clearTimeout(timer);
}

/** @returns whether the guest has ended, rather than said what nobody can answer */
async function answerAll(
  stream: Duplex,
  answer: (message: Buffer) => Buffer | null,
  { timer, idleMs }: { timer: NodeJS.Timeout; idleMs: number },
): Promise<boolean> {
  let pending: Buffer = Buffer.alloc(0);
  let answers = 0;
  // The default would destroy the stream at its end, with answers still to be sent.
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    timer.refresh();
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (let message = cutMessage(pending); message !== undefined; message = cutMessage(pending)) {
      pending = pending.subarray(2 + message.length);
      const reply = answer(message);
      if (reply === null) return false;
      if (!stream.write(frame(reply))) await once(stream, "drain", { signal: AbortSignal.timeout(idleMs) });
      if (++answers % ANSWERS_A_TURN === 0) await setImmediate();
    }
    timer.refresh();
    if (pending.length >= 2 && pending.readUInt16BE(0) > MAX_QUERY_BYTES) return false;
  }
  return true;
}

/** The first message, if it is complete and of a length that is served. */
function cutMessage(pending: Buffer): Buffer | undefined {
  if (pending.length < 2) return undefined;
  const length = pending.readUInt16BE(0);
  return length > MAX_QUERY_BYTES || pending.length < 2 + length ? undefined : pending.subarray(2, 2 + length);
}

function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
