/**
 * Cuts what a client sends into requests, so that the head of each is seen before any byte of it goes on. Keeps no more
 * than one head; the bytes are hostile.
 */
import { BodyMeter } from "./body-meter.ts";
import { findHeadEnd, HeadError, MAX_HEAD_BYTES, parseHead, type RequestHead } from "./request-head.ts";

/** What has become of a chunk. */
export interface Reading {
  /** What goes on to the server, if anything does. */
  passed: Buffer | undefined;
  /** The last request asks for an upgrade: nothing more is read before the server has answered. */
  upgrade: { held: Buffer | undefined } | undefined;
  /** Why nothing more of this client is passed on. */
  refused: Error | undefined;
}

export class RequestReader {
  readonly #judge: (head: RequestHead) => void;
  readonly #partial = new PartialHead();
  #body: BodyMeter | undefined;
  #opaque = false;

  /** @param judge sees each head; a request is refused by throwing */
  constructor(judge: (head: RequestHead) => void) {
    this.#judge = judge;
  }

  /** A head has begun and is not complete. */
  get isWithinHead(): boolean {
    return this.#partial.length > 0;
  }

  /** From now on the bytes are not HTTP. */
  passAll(): void {
    this.#opaque = true;
  }

  read(chunk: Buffer): Reading {
    if (this.#opaque) return { passed: chunk, upgrade: undefined, refused: undefined };
    const looked = this.#partial.length;
    const bytes = looked === 0 ? chunk : this.#partial.add(chunk);
    return this.#requests(bytes, looked);
  }

  #requests(bytes: Buffer, looked: number): Reading {
    let at = 0;
    try {
      while (at < bytes.length) {
        if (this.#body !== undefined) {
          at += this.#body.take(bytes, at);
          if (this.#body.isDone) this.#body = undefined;
          continue;
        }
        const rest = at === 0 ? bytes : bytes.subarray(at);
        const end = findHeadEnd(rest, at === 0 ? looked : 0);
        if ((end === -1 ? rest.length : end) > MAX_HEAD_BYTES) {
          throw new HeadError(431, `a head has up to ${MAX_HEAD_BYTES} bytes`);
        }
        if (end === -1) {
          if (looked === 0 || at > 0) this.#partial.begin(rest);
          return { passed: cut(bytes, at), upgrade: undefined, refused: undefined };
        }
        this.#partial.clear();
        const head = parseHead(rest.subarray(0, end));
        this.#judge(head);
        at += end;
        if (head.body !== null) this.#body = new BodyMeter(head.body);
        else if (head.upgrades) {
          const held = at < bytes.length ? bytes.subarray(at) : undefined;
          return { passed: cut(bytes, at), upgrade: { held }, refused: undefined };
        }
      }
    } catch (error) {
      this.#partial.clear();
      return { passed: cut(bytes, at), upgrade: undefined, refused: error as Error };
    }
    return { passed: bytes, upgrade: undefined, refused: undefined };
  }
}

/** The beginning of a head, in a buffer that grows: a client may send it byte by byte. */
class PartialHead {
  #bytes: Buffer | undefined;
  length = 0;

  /** Copies: the chunk that it is in may be much larger. */
  begin(bytes: Buffer): void {
    this.clear();
    this.add(bytes);
  }

  /** All that there is now. */
  add(chunk: Buffer): Buffer {
    const length = this.length + chunk.length;
    if (this.#bytes === undefined || this.#bytes.length < length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, 2 * length));
      this.#bytes?.copy(larger, 0, 0, this.length);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, this.length);
    this.length = length;
    return this.#bytes.subarray(0, length);
  }

  /** What was returned stays as it is. */
  clear(): void {
    this.#bytes = undefined;
    this.length = 0;
  }
}

function cut(bytes: Buffer, end: number): Buffer | undefined {
  return end === 0 ? undefined : bytes.subarray(0, end);
}
