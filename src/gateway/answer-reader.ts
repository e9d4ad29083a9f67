/**
 * Follows the answers of a server, to know when none is under way. The bytes are a guest's: what is not plain HTTP/1.1 is
 * carried all the same, but the connection is then taken for one on which something always is.
 */
import { BodyMeter } from "./body-meter.ts";
import { findHeadEnd, MAX_HEAD_BYTES } from "./request-head.ts";

/** Requests of one connection that wait for their answers; of more nobody keeps count. */
const MAX_AWAITED = 256;
const STATUS_LINE = /^HTTP\/1\.1 (\d{3})[ \r]/;
const LENGTH = /\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n/i;
const CODING = /\r\ntransfer-encoding:[ \t]*([^\r]*)\r\n/i;
const CLOSES = /\r\nconnection:[^\r]*\bclose\b/i;

export class AnswerReader {
  /** Whether each request that is under way was a HEAD. */
  readonly #awaited: boolean[] = [];
  #partial: Buffer | undefined;
  #body: BodyMeter | undefined;
  #isLost = false;

  /** Whether every request has had its whole answer, and the connection can take another one. */
  get isAtRest(): boolean {
    return !this.#isLost && this.#awaited.length === 0 && this.#body === undefined && this.#partial === undefined;
  }

  /** A request goes to the server. */
  expect(method: string): void {
    if (this.#awaited.length >= MAX_AWAITED) this.#isLost = true;
    else this.#awaited.push(method === "HEAD");
  }

  see(chunk: Buffer): void {
    if (this.#isLost) return;
    const bytes = this.#partial === undefined ? chunk : Buffer.concat([this.#partial, chunk]);
    this.#partial = undefined;
    try {
      this.#answers(bytes);
    } catch {
      this.#isLost = true; // Its chunks are not well formed.
    }
  }

  #answers(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && !this.#isLost) {
      if (this.#body !== undefined) {
        at += this.#body.take(bytes, at);
        if (this.#body.isDone) this.#body = undefined;
        continue;
      }
      const rest = bytes.subarray(at);
      const end = findHeadEnd(rest);
      if (end === -1) {
        if (rest.length > MAX_HEAD_BYTES || this.#awaited.length === 0) this.#isLost = true;
        else this.#partial = Buffer.from(rest);
        return;
      }
      this.#head(rest.toString("latin1", 0, end));
      at += end;
    }
  }

  #head(text: string): void {
    const status = Number(STATUS_LINE.exec(text)?.[1] ?? 0);
    if (status >= 100 && status < 200 && status !== 101) return; // The answer itself is still to come.
    const isHead = this.#awaited.shift();
    const coding = CODING.exec(text)?.[1];
    const length = LENGTH.exec(text)?.[1];
    if (isHead === undefined || status < 200 || CLOSES.test(text)) this.#isLost = true;
    else if (isHead || status === 204 || status === 304) return;
    else if (coding?.trim().toLowerCase() === "chunked") this.#body = new BodyMeter({ kind: "chunked" });
    else if (coding !== undefined || length === undefined) this.#isLost = true;
    else if (length !== "0") this.#body = new BodyMeter({ kind: "bytes", bytes: Number(length) });
  }
}
