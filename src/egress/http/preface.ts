/** Whether a plain connection begins as HTTP/2 does where both sides know it beforehand (RFC 9113, 3.4). */
import type { Duplex } from "node:stream";

/** As much of the preface as no HTTP/1.1 request begins with. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\n");

/** Nothing is taken from the stream. @throws Error if it ends before that is known */
export function speaksH2(stream: Duplex): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let seen: Buffer = Buffer.alloc(0);
    const settle = (h2: boolean | null): void => {
      stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      if (h2 === null) reject(new Error("the client closed the connection without a request"));
      else {
        stream.unshift(seen);
        resolve(h2);
      }
    };
    const onReadable = (): void => {
      const chunk = stream.read() as Buffer | null;
      if (chunk === null) return;
      seen = Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, PREFACE.length);
      const same = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
      if (!same) settle(false);
      else if (length === PREFACE.length) settle(true);
    };
    const onEnd = (): void => settle(null);
    stream.on("readable", onReadable).once("end", onEnd).once("close", onEnd);
  });
}
