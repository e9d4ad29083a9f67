/**
 * Follows the answers of a server, to know when none is under way. The bytes are a guest's: what is not plain HTTP/1.1 is
 * carried all the same, but the connection is then taken for one on which something always is.
 */
import { BodyMeter } from "./body-meter.ts";
import { PartialHead } from "./partial-head.ts";
import { findHeadEnd, MAX_HEAD_BYTES, parseFields } from "./request-head.ts";

/** Requests of one connection that wait for their answers; of more nobody keeps count. */
const MAX_AWAITED = 256;
const STATUS_LINE = /^HTTP\/1\.1 (\d{3})(?: |$)/;
/** The line ends that a head ends with. */
const HEAD_END_BYTES = 4;
const LENGTH = /^\d{1,15}$/;
const CLOSES = /(?:^|[ \t,])close(?:$|[ \t,])/i;

export class AnswerReader {
  /** Whether each request that is under way was a HEAD. */
  readonly #awaited: boolean[] = [];
  readonly #partial = new PartialHead();
  #body: BodyMeter | undefined;
  #isLost = false;

  /** Whether every request has had its whole answer, and the connection can take another one. */
  get isAtRest(): boolean {
    return !this.#isLost && this.#awaited.length === 0 && this.#body === undefined && this.#partial.length === 0;
  }

  /** A request goes to the server. */
  expect(method: string): void {
    if (this.#awaited.length >= MAX_AWAITED) this.#isLost = true;
    else this.#awaited.push(method === "HEAD");
  }

  see(chunk: Buffer): void {
    if (this.#isLost) return;
    const looked = this.#partial.length;
    const bytes = looked === 0 ? chunk : this.#partial.add(chunk);
    try {
      this.#answers(bytes, looked);
    } catch {
      this.#isLost = true; // It is not well formed, and who reads it may read it otherwise.
    }
    if (this.#isLost) this.#partial.clear();
  }

  #answers(bytes: Buffer, looked: number): void {
    let at = 0;
    while (at < bytes.length && !this.#isLost) {
      if (this.#body !== undefined) {
        at += this.#body.take(bytes, at);
        if (this.#body.isDone) this.#body = undefined;
        continue;
      }
      const rest = at === 0 ? bytes : bytes.subarray(at);
      const end = findHeadEnd(rest, at === 0 ? looked : 0);
      if (end === -1) {
        if (rest.length > MAX_HEAD_BYTES || this.#awaited.length === 0) this.#isLost = true;
        else if (looked === 0 || at > 0) this.#partial.begin(rest);
        return;
      }
      this.#partial.clear();
      this.#head(rest.toString("latin1", 0, end - HEAD_END_BYTES).split("\r\n"));
      at += end;
    }
  }

  /** @throws HeadError for fields that readers differ in: which length counts, and where a field ends */
  #head(lines: readonly string[]): void {
    const status = Number(STATUS_LINE.exec(lines[0] ?? "")?.[1] ?? 0);
    const fields = parseFields(lines);
    if (status >= 100 && status < 200 && status !== 101) return; // The answer itself is still to come.
    const isHead = this.#awaited.shift();
    const coding = fields.get("transfer-encoding");
    const length = fields.get("content-length");
    if (isHead === undefined || status < 200 || CLOSES.test(fields.get("connection") ?? "")) this.#isLost = true;
    else if (isHead || status === 204 || status === 304) return;
    else if (coding !== undefined && length !== undefined) this.#isLost = true;
    else if (coding?.toLowerCase() === "chunked") this.#body = new BodyMeter({ kind: "chunked" });
    else if (coding !== undefined || length === undefined || !LENGTH.test(length)) this.#isLost = true;
    else if (Number(length) > 0) this.#body = new BodyMeter({ kind: "bytes", bytes: Number(length) });
  }
}
