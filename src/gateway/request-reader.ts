/**
 * Cuts what a client sends into requests, so that the head of each is seen before any byte of it goes on. Keeps no more
 * than one head; the bytes are hostile.
 */
import { BodyMeter } from "./body-meter.ts";
import { PartialHead } from "./partial-head.ts";
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
  readonly #rewrite: ((head: Buffer) => Buffer) | undefined;

  /**
   * @param judge sees each head; a request is refused by throwing
   * @param rewrite heads as they are passed on; as they came if absent
   */
  constructor(judge: (head: RequestHead) => void, rewrite?: (head: Buffer) => Buffer) {
    this.#judge = judge;
    this.#rewrite = rewrite;
  }

  /** A head has begun and is not complete. */
  get isWithinHead(): boolean {
    return this.#partial.length > 0;
  }

  /** What comes next is the head of a request, or the rest of one. */
  get isBetweenRequests(): boolean {
    return this.#body === undefined && !this.#opaque;
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
    const passed = new Passed(bytes, this.#rewrite);
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
          return { passed: passed.until(at), upgrade: undefined, refused: undefined };
        }
        this.#partial.clear();
        const head = parseHead(rest.subarray(0, end));
        this.#judge(head);
        passed.addHead(at, end);
        at += end;
        if (head.body !== null) this.#body = new BodyMeter(head.body);
        else if (head.upgrades) {
          const held = at < bytes.length ? bytes.subarray(at) : undefined;
          return { passed: passed.until(at), upgrade: { held }, refused: undefined };
        }
      }
    } catch (error) {
      this.#partial.clear();
      return { passed: passed.until(at), upgrade: undefined, refused: error as Error };
    }
    return { passed: passed.until(at), upgrade: undefined, refused: undefined };
  }
}

/** What of a chunk goes on: its bytes as they are, except for heads that are rewritten. */
class Passed {
  readonly #bytes: Buffer;
  readonly #rewrite: ((head: Buffer) => Buffer) | undefined;
  readonly #pieces: Buffer[] = [];
  /** Of the bytes that are in no piece yet. */
  #from = 0;

  constructor(bytes: Buffer, rewrite: ((head: Buffer) => Buffer) | undefined) {
    this.#bytes = bytes;
    this.#rewrite = rewrite;
  }

  addHead(at: number, length: number): void {
    if (this.#rewrite === undefined) return;
    this.#take(at);
    this.#pieces.push(this.#rewrite(this.#bytes.subarray(at, at + length)));
    this.#from = at + length;
  }

  /** Undefined for nothing. */
  until(end: number): Buffer | undefined {
    this.#take(end);
    const [only, ...others] = this.#pieces;
    return others.length === 0 ? only : Buffer.concat(this.#pieces);
  }

  #take(end: number): void {
    if (end > this.#from) this.#pieces.push(this.#bytes.subarray(this.#from, end));
    this.#from = end;
  }
}
