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
/** RFC 5246, 6.2.3: of an encrypted one. */
const MAX_RECORD_BYTES = 16 * 1024 + 2048;
const CONTENT_TYPES = { first: 20, last: 24 } as const;
const CONTENT_ALERT = 21;
const CONTENT_HANDSHAKE = 22;
const MAJOR_VERSION = 3;
const HANDSHAKE_CLIENT_HELLO = 1;

const ALERT_RECORD_BYTES = 7;
const ALERT_WARNING = 1;
/** Of a server, kept until its answer is known. One that warns for longer is never known, and the watch goes on. */
const MAX_ANSWER_BYTES = 1024;

export type SecondHelloVerdict = { kind: "hello"; hello: ClientHello } | { kind: "malformed"; reason: string };

export class SecondHelloWatch {
  #isOver = false;
  /** The beginning of what the server says. */
  #answer: Buffer = Buffer.alloc(0);
  /** Of the guest's current record, as far as it is there; a handshake's first byte with it. */
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
    if (this.#isOver || this.#answer.length === MAX_ANSWER_BYTES) return;
    this.#answer = Buffer.concat([this.#answer, chunk.subarray(0, MAX_ANSWER_BYTES - this.#answer.length)]);
    const answer = withoutWarnings(this.#answer);
    if (answer.length === 0 || (answer[0] === CONTENT_ALERT && answer.length < ALERT_RECORD_BYTES)) return;
    if (answer[0] !== CONTENT_HANDSHAKE) this.#isOver = true;
    else if (answer.length >= RANDOM_END)
      this.#isOver = !answer.subarray(RANDOM_START, RANDOM_END).equals(RETRY_RANDOM);
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
      const wanted = this.#header[0] === CONTENT_HANDSHAKE ? RECORD_HEADER_BYTES + 1 : RECORD_HEADER_BYTES;
      const missing = wanted - this.#header.length;
      this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#header.length < RECORD_HEADER_BYTES) break;
      const reason = this.#takeHeader();
      if (reason !== null) return this.#malformed(reason);
    }
    return null;
  }

  /** Reads what there is of a record. @returns what is wrong with it */
  #takeHeader(): string | null {
    const header = this.#header;
    const length = header.readUInt16BE(3);
    const [type = 0, majorVersion] = header;
    if (type < CONTENT_TYPES.first || type > CONTENT_TYPES.last || majorVersion !== MAJOR_VERSION)
      return "what follows the ClientHello is no TLS";
    // Servers differ in what they make of an empty record.
    if (length === 0 || length > MAX_RECORD_BYTES) return `a record of ${length} bytes`;
    if (type !== CONTENT_HANDSHAKE) {
      this.#leftInRecord = length;
      this.#header = Buffer.alloc(0);
    } else if (header.length > RECORD_HEADER_BYTES) {
      if (header[RECORD_HEADER_BYTES] !== HANDSHAKE_CLIENT_HELLO) return "a handshake before the server has answered";
      this.#hello = header;
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
    return this.#malformed(verdict.kind === "malformed" ? verdict.reason : "no second ClientHello");
  }

  #malformed(reason: string): SecondHelloVerdict {
    this.#isOver = true;
    return { kind: "malformed", reason };
  }
}

/** Servers of before TLS 1.3 warn of a name that they do not know, and go on. */
function withoutWarnings(answer: Buffer): Buffer {
  let rest = answer;
  while (rest.length >= ALERT_RECORD_BYTES && rest[0] === CONTENT_ALERT && rest[RECORD_HEADER_BYTES] === ALERT_WARNING)
    rest = rest.subarray(ALERT_RECORD_BYTES);
  return rest;
}
