/** What the host holds for a sandbox's HTTP, in bytes that are counted. */
import type { RequestHead } from "../http-heads.ts";
import { textBytes } from "./fields.ts";

/** What Node and this proxy take for a request besides the text of its head: rather too much. */
const REQUEST_BYTES = 4096;

export function headBytes({ target, fields }: RequestHead): number {
  let bytes = REQUEST_BYTES + target.length;
  for (const [name, value] of fields) bytes += name.length + value.length;
  return bytes;
}

/** Of one that has not been looked at. @param raw Node's flat `rawHeaders` */
export function rawHeadBytes(target: string, raw: readonly string[]): number {
  return REQUEST_BYTES + target.length + textBytes(raw);
}

/** Bytes that the host holds for a sandbox, for one purpose, over all connections together. */
export class HeldBytes {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param bytes negative for what is let go. @returns whether it is not too much now */
  add(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes <= this.#maxBytes;
  }

  /** Unlike {@link add} it takes all or nothing. @returns whether it has taken them */
  tryAdd(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) return false;
    this.#bytes += bytes;
    return true;
  }
}
