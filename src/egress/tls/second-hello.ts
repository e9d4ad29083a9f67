/**
 * Watches a TLS connection that nobody reads for a second ClientHello: a server may ask for one (HelloRetryRequest, RFC
 * 8446, 4.1.4) and may believe the name in it, which has to be the first one's. Both sides' bytes are hostile.
 */
import { type ClientHello, ClientHelloScanner } from "./client-hello.ts";

/** `random` of a ServerHello that is a HelloRetryRequest. */
const RETRY_RANDOM = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");
/** In the first record: header, handshake header and version come before it. */
const RANDOM_START = 5 + 4 + 2;
const RANDOM_END = RANDOM_START + RETRY_RANDOM.length;

const RECORD_HEADER_BYTES = 5;
const CONTENT_HANDSHAKE = 22;
const HANDSHAKE_CLIENT_HELLO = 1;

export type SecondHelloVerdict = { kind: "hello"; hello: ClientHello } | { kind: "malformed"; reason: string };

export class SecondHelloWatch {
  #isOver = false;
  /** The beginning of what the server says. */
  #answer: Buffer = Buffer.alloc(0);
  /** Of the guest's current record: its header and first byte, as far as they are there. */
  #header: Buffer = Buffer.alloc(0);
  #leftInRecord = 0;
  /** All bytes of the second hello so far. */
  #hello: Buffer | undefined;
  readonly #scanner = new ClientHelloScanner();

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The next bytes of the server. A first answer that is no HelloRetryRequest is the end of the watch. */
  onServer(chunk: Buffer): void {
    if (this.#isOver || this.#answer.length >= RANDOM_END) return;
    this.#answer = Buffer.concat([this.#answer, chunk.subarray(0, RANDOM_END - this.#answer.length)]);
    const isHandshake = this.#answer[0] === CONTENT_HANDSHAKE;
    if (!isHandshake) this.#isOver = true;
    else if (this.#answer.length === RANDOM_END)
      this.#isOver = !this.#answer.subarray(RANDOM_START).equals(RETRY_RANDOM);
  }

  /** The next bytes of the client, after its first hello. */
  onClient(chunk: Buffer): SecondHelloVerdict | null {
    let rest = chunk;
    while (!this.#isOver && rest.length > 0) {
      if (this.#hello !== undefined) return this.#readHello(rest);
      if (this.#leftInRecord > 0) {
        const skipped = Math.min(this.#leftInRecord, rest.length);
        this.#leftInRecord -= skipped;
        rest = rest.subarray(skipped);
        continue;
      }
      const missing = RECORD_HEADER_BYTES + 1 - this.#header.length;
      this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#header.length < RECORD_HEADER_BYTES + 1) break;
      if (this.#header[0] === CONTENT_HANDSHAKE && this.#header[RECORD_HEADER_BYTES] === HANDSHAKE_CLIENT_HELLO) {
        this.#hello = this.#header;
      } else {
        this.#leftInRecord = Math.max(0, this.#header.readUInt16BE(3) - 1);
      }
      this.#header = Buffer.alloc(0);
    }
    return null;
  }

  #readHello(rest: Buffer): SecondHelloVerdict | null {
    this.#hello = Buffer.concat([this.#hello ?? rest, rest]);
    const verdict = this.#scanner.scan(this.#hello);
    if (verdict.kind === "more") return null;
    this.#isOver = true;
    this.#hello = undefined;
    if (verdict.kind === "hello") return { kind: "hello", hello: verdict.hello };
    return { kind: "malformed", reason: verdict.kind === "malformed" ? verdict.reason : "no second ClientHello" };
  }
}
