/** Finds where the body of a request ends (RFC 9112, 7.1). The bytes are not changed and not kept; they are hostile. */
import { type BodyLength, HeadError, MAX_HEAD_BYTES } from "./request-head.ts";

/** With extensions, which nobody uses. */
const MAX_SIZE_LINE_BYTES = 1024;
const MAX_SIZE_DIGITS = 12;
const [CR, LF, SEMICOLON] = [0x0d, 0x0a, 0x3b];

type Step =
  "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "line" | "line-rest" | "line-lf" | "last-lf";

export class BodyMeter {
  readonly #chunked: boolean;
  #left: number;
  #step: Step;
  #digits = 0;
  /** Bytes of the line, or of all trailers, so far. */
  #lineBytes = 0;
  #done = false;

  constructor(length: BodyLength) {
    this.#chunked = length.kind === "chunked";
    this.#left = length.kind === "bytes" ? length.bytes : 0;
    this.#step = this.#chunked ? "size" : "data";
  }

  /** Whether the body is complete. */
  get isDone(): boolean {
    return this.#done;
  }

  /**
   * How many of the bytes from `start` on belong to the body.
   *
   * @throws HeadError for chunks that are not well formed
   */
  take(bytes: Buffer, start: number): number {
    let at = start;
    while (at < bytes.length && !this.#done) {
      if (this.#step === "data") at += this.#skip(bytes.length - at);
      else this.#frame(bytes[at++] ?? 0);
    }
    return at - start;
  }

  #skip(available: number): number {
    const count = Math.min(available, this.#left);
    this.#left -= count;
    if (this.#left === 0) {
      if (this.#chunked) this.#step = "data-cr";
      else this.#done = true;
    }
    return count;
  }

  /** One byte of what is around the data. */
  #frame(byte: number): void {
    switch (this.#step) {
      case "size":
      case "extension":
        this.#sizeLine(byte);
        break;
      case "size-lf":
        expect(byte, LF);
        this.#lineBytes = 0;
        this.#digits = 0;
        this.#step = this.#left === 0 ? "line" : "data";
        break;
      case "data-cr":
        expect(byte, CR);
        this.#step = "data-lf";
        break;
      case "data-lf":
        expect(byte, LF);
        this.#step = "size";
        break;
      default:
        this.#trailer(byte);
    }
  }

  #sizeLine(byte: number): void {
    if (++this.#lineBytes > MAX_SIZE_LINE_BYTES) throw malformed();
    if (byte === CR) {
      if (this.#digits === 0) throw malformed();
      this.#step = "size-lf";
    } else if (this.#step === "extension") {
      if (byte < 0x20 && byte !== 0x09) throw malformed();
    } else if (byte === SEMICOLON) {
      if (this.#digits === 0) throw malformed();
      this.#step = "extension";
    } else {
      const digit = Number.parseInt(String.fromCharCode(byte), 16);
      if (Number.isNaN(digit) || ++this.#digits > MAX_SIZE_DIGITS) throw malformed();
      this.#left = this.#left * 16 + digit;
    }
  }

  /** Behind the last chunk: lines of fields, then an empty one. */
  #trailer(byte: number): void {
    if (++this.#lineBytes > MAX_HEAD_BYTES) throw malformed();
    switch (this.#step) {
      case "line":
        if (byte === CR) this.#step = "last-lf";
        else this.#step = "line-rest";
        if (byte === LF) throw malformed();
        break;
      case "line-rest":
        if (byte === CR) this.#step = "line-lf";
        else if (byte < 0x20 && byte !== 0x09) throw malformed();
        break;
      case "line-lf":
        expect(byte, LF);
        this.#step = "line";
        break;
      default:
        expect(byte, LF);
        this.#done = true;
    }
  }
}

function expect(byte: number, wanted: number): void {
  if (byte !== wanted) throw malformed();
}

function malformed(): HeadError {
  return new HeadError(400, "the chunks of the body are not well formed");
}
