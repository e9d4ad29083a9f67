/** Reads a disk file (disk-file.ts) that nobody vouches for: bounded, checked, in one pass. */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import {
  BLOCK_HEAD_BYTES,
  HASH_BYTES,
  hashedHead,
  invalidFile,
  MAGIC,
  MAX_BLOCK_BYTES,
  MAX_HEADER_BYTES,
  parseBlockHead,
  parseHeader,
  type DiskFileHeader,
} from "./disk-file.ts";

const decompress = promisify(zstdDecompress);

export class DiskFileReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #hash = createHash("sha256");
  #rest: Buffer = Buffer.alloc(0);
  #header: DiskFileHeader | undefined;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** @throws SbxError `disk_file_invalid`, `state_newer` */
  async header(): Promise<DiskFileHeader> {
    const start = await this.#take(MAGIC.length + 4, "it is too short");
    if (!start.subarray(0, MAGIC.length).equals(MAGIC)) throw invalidFile("it is no disk that sbx exported");
    const length = start.readUInt32LE(MAGIC.length);
    if (length === 0 || length > MAX_HEADER_BYTES) throw invalidFile("its header is too long");
    const json = await this.#take(length, "it ends in its header");
    this.#hash.update(start).update(json);
    return (this.#header = parseHeader(json));
  }

  /**
   * The blocks, in order. Ends well only if all was there, the hash is right, and nothing follows.
   *
   * @throws SbxError `disk_file_invalid`
   */
  async *blocks(): AsyncGenerator<{ offset: number; data: Buffer }, void, undefined> {
    const header = this.#header ?? (await this.header());
    let [end, contentBytes] = [0, 0];
    for (;;) {
      const head = parseBlockHead(await this.#take(BLOCK_HEAD_BYTES, "it was cut off"), end, header);
      const packed = await this.#take(head.packedLength, "it was cut off");
      if (head.length === 0) {
        if (head.offset !== contentBytes || contentBytes !== header.contentBytes) {
          throw invalidFile("it does not hold as much as it says");
        }
        await this.#finish(packed);
        return;
      }
      contentBytes += head.length;
      if (contentBytes > header.contentBytes) throw invalidFile("it holds more than it says");
      end = head.offset + head.length;
      const data = head.packedLength === head.length ? packed : await unpack(packed, head.length);
      this.#hash.update(hashedHead(head)).update(data);
      yield { offset: head.offset, data };
    }
  }

  /** Ends the source, whatever is left of it. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #finish(expected: Buffer): Promise<void> {
    const found = this.#hash.digest();
    if (expected.length !== HASH_BYTES || !found.equals(expected)) throw invalidFile("its content has changed");
    if (this.#rest.length > 0 || (await this.#source.next()).done !== true)
      throw invalidFile("something follows its end");
  }

  async #take(length: number, fault: string): Promise<Buffer> {
    const parts = [this.#rest];
    let have = this.#rest.length;
    while (have < length) {
      const next = await this.#source.next();
      if (next.done === true) throw invalidFile(fault);
      const bytes = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      parts.push(bytes);
      have += bytes.length;
    }
    const all = parts.length === 1 ? this.#rest : Buffer.concat(parts);
    this.#rest = all.subarray(length);
    return all.subarray(0, length);
  }
}

async function unpack(packed: Buffer, length: number): Promise<Buffer> {
  let data: Buffer;
  try {
    data = await decompress(packed, { maxOutputLength: Math.min(length, MAX_BLOCK_BYTES) });
  } catch (cause) {
    throw invalidFile("a block cannot be unpacked", cause);
  }
  if (data.length !== length) throw invalidFile("a block does not have its length");
  return data;
}
