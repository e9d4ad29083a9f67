/** Holds the first bytes of a guest's connection and says what they are as soon as that is certain. Never throws. */
import { type ClientHello, ClientHelloScanner } from "../tls/client-hello.ts";
import { RequestLineScanner } from "./request-line.ts";

export type FirstBytesVerdict =
  | { kind: "more" }
  /** `endByte` is where the hello ends. */
  | { kind: "tls"; hello: ClientHello; endByte: number }
  /** TLS that no client sends. */
  | { kind: "malformed"; reason: string }
  /** HTTP/1, or HTTP/2 without TLS. */
  | { kind: "http" }
  | { kind: "other" };

export type DecidedVerdict = Exclude<FirstBytesVerdict, { kind: "more" }>;

const MIN_BUFFER_BYTES = 2048;

export class FirstBytes {
  readonly #tls = new ClientHelloScanner();
  readonly #line = new RequestLineScanner();
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  /** All that was pushed. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** @param chunk is not changed by anybody from now on */
  push(chunk: Buffer): FirstBytesVerdict {
    this.#append(chunk);
    const bytes = this.bytes;
    const tls = this.#tls.scan(bytes);
    switch (tls.kind) {
      case "hello":
        return { kind: "tls", hello: tls.hello, endByte: tls.endByte };
      case "malformed":
      case "more":
        return tls;
      case "other":
        return { kind: this.#line.scan(bytes) };
    }
  }

  /** Mostly one chunk is all there is; a guest that sends single bytes must not cost a copy of everything for each. */
  #append(chunk: Buffer): void {
    if (this.#length === 0) {
      this.#buffer = chunk;
    } else {
      if (this.#length + chunk.length > this.#buffer.length) {
        const grown = Buffer.allocUnsafeSlow(Math.max(MIN_BUFFER_BYTES, 2 * (this.#length + chunk.length)));
        this.#buffer.copy(grown, 0, 0, this.#length);
        this.#buffer = grown;
      }
      chunk.copy(this.#buffer, this.#length);
    }
    this.#length += chunk.length;
  }
}
