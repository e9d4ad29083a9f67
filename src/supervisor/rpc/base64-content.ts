/**
 * A whole file on its way into one message: base64, encoded as its bytes come and kept in the pieces that it is sent in.
 * So the text is nowhere in memory as a whole, and nothing has to look through it for what JSON escapes.
 */

/** Bytes that are four characters. */
const GROUP_BYTES = 3;

export class Base64Content {
  readonly #pieces: Buffer[] = [];
  /** Less than a group: waits for the bytes behind it. */
  #rest: Buffer = Buffer.alloc(0);

  /** @param bytes may change afterwards */
  push(bytes: Buffer): void {
    const joined = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const whole = joined.length - (joined.length % GROUP_BYTES);
    this.#encode(joined.subarray(0, whole));
    this.#rest = Buffer.from(joined.subarray(whole));
  }

  /** Its characters, in order. Nothing may be pushed afterwards. */
  finish(): readonly Buffer[] {
    this.#encode(this.#rest);
    this.#rest = Buffer.alloc(0);
    return this.#pieces;
  }

  /** Memory of its own, outside of V8's heap: strings that live as long as a slow client takes would be copied about. */
  #encode(bytes: Buffer): void {
    if (bytes.length > 0) this.#pieces.push(Buffer.from(bytes.toString("base64"), "latin1"));
  }
}
