/**
 * Encoder of copy streams: records side by side in chunks of 256 KiB, so that thousands of small files cost few
 * messages. File data is read straight into the chunk that is sent.
 */
import { ChunkPool } from "./chunk-pool.ts";
import {
  CHUNK_BYTES,
  type CopyEntry,
  ENTRY_FIXED_BYTES,
  ENTRY_TYPES,
  MAX_PATH_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_KINDS,
} from "./copy-records.ts";
import { BLOCK_BYTES, findHole } from "./zero-runs.ts";

const HOLE_RECORD_BYTES = RECORD_HEADER_BYTES + 8;

export class RecordEncoder {
  readonly #pool: ChunkPool;
  #chunk: Buffer;
  #used = 0;
  #ready: Buffer[] = [];
  /** A run of zeros that has not been written yet: neighbours become one record. */
  #pendingHoleBytes = 0;

  /** @param pool where chunks come from; who takes one may give it back there */
  constructor(pool: ChunkPool = new ChunkPool()) {
    this.#pool = pool;
    this.#chunk = pool.take();
  }

  get hasChunk(): boolean {
    return this.#ready.length > 0;
  }

  /** Chunks that are full, in order. */
  take(): Buffer[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  entry(entry: CopyEntry): void {
    const { path, link } = entry;
    const at = this.#begin(RECORD_KINDS.entry, ENTRY_FIXED_BYTES + path.length + link.length);
    const chunk = this.#chunk;
    const mtimeMs = Math.floor(entry.mtimeMs);
    chunk.writeUInt8(ENTRY_TYPES[entry.type], at);
    chunk.writeUInt32LE(entry.mode, at + 1);
    chunk.writeUInt32LE(((mtimeMs % 2 ** 32) + 2 ** 32) % 2 ** 32, at + 5);
    chunk.writeInt32LE(Math.floor(mtimeMs / 2 ** 32), at + 9);
    chunk.writeUInt32LE(entry.size % 2 ** 32, at + 13);
    chunk.writeUInt32LE(Math.floor(entry.size / 2 ** 32), at + 17);
    chunk.writeUInt16LE(path.length, at + 21);
    chunk.set(path, at + 23);
    chunk.writeUInt16LE(link.length, at + 23 + path.length);
    chunk.set(link, at + 25 + path.length);
  }

  /**
   * Room for data of the current file. What was written into it counts from {@link commitData} on.
   *
   * @param wantedBytes what is left of the file; the room is that, or less but whole blocks, so that a reader who
   * fills it every time sees the file's own blocks
   */
  reserveData(wantedBytes: number): Buffer {
    // Data that goes where it was read to needs no moving; a hole before it takes its room from the chunk.
    const overheadBytes = RECORD_HEADER_BYTES + (this.#pendingHoleBytes > 0 ? HOLE_RECORD_BYTES : 0);
    let roomBytes = CHUNK_BYTES - this.#used - overheadBytes;
    if (roomBytes < Math.min(wantedBytes, BLOCK_BYTES)) {
      this.flush();
      roomBytes = CHUNK_BYTES - overheadBytes;
    }
    const start = this.#used + overheadBytes;
    const bytes = wantedBytes <= roomBytes ? wantedBytes : roomBytes - (roomBytes % BLOCK_BYTES);
    return this.#chunk.subarray(start, start + bytes);
  }

  /** Takes the first `bytes` of the reserved room; longer runs of zeros in it become holes. */
  commitData(reserved: Buffer, bytes: number): void {
    let from = 0;
    while (from < bytes) {
      const hole = findHole(reserved, from, bytes, this.#pendingHoleBytes > 0);
      const dataEnd = hole === undefined ? bytes : hole.start;
      if (dataEnd > from) this.#writeData(reserved, from, dataEnd);
      if (hole === undefined) return;
      this.#pendingHoleBytes += hole.end - hole.start;
      from = hole.end;
    }
  }

  hole(bytes: number): void {
    this.#pendingHoleBytes += bytes;
  }

  endOfFile(): void {
    this.#begin(RECORD_KINDS.endOfFile, 0);
  }

  skipped(path: Buffer, reason: string): void {
    const shortPath = path.subarray(0, MAX_PATH_BYTES);
    const text = Buffer.from(reason.slice(0, 1024), "utf8");
    const at = this.#begin(RECORD_KINDS.skipped, 2 + shortPath.length + text.length);
    this.#chunk.writeUInt16LE(shortPath.length, at);
    this.#chunk.set(shortPath, at + 2);
    this.#chunk.set(text, at + 2 + shortPath.length);
  }

  /** The end record; what is left of the chunk becomes ready. */
  end(): void {
    this.#begin(RECORD_KINDS.end, 0);
    this.flush();
  }

  flush(): void {
    if (this.#used === 0) return;
    this.#ready.push(this.#chunk.subarray(0, this.#used));
    this.#chunk = this.#pool.take();
    this.#used = 0;
  }

  /**
   * Writes data that already lies in the chunk, at or behind the place where its record goes: the room was reserved
   * with space for the headers, and a hole leaves more than its record takes.
   */
  #writeData(reserved: Buffer, from: number, to: number): void {
    this.#writeHole();
    this.#writeHeader(RECORD_KINDS.data, to - from);
    const source = reserved.byteOffset - this.#chunk.byteOffset + from;
    if (source !== this.#used) this.#chunk.copyWithin(this.#used, source, source + to - from);
    this.#used += to - from;
  }

  #writeHole(): void {
    const bytes = this.#pendingHoleBytes;
    if (bytes === 0) return;
    this.#pendingHoleBytes = 0;
    this.#writeHeader(RECORD_KINDS.hole, 8);
    this.#chunk.writeUInt32LE(bytes % 2 ** 32, this.#used);
    this.#chunk.writeUInt32LE(Math.floor(bytes / 2 ** 32), this.#used + 4);
    this.#used += 8;
  }

  /** Makes room for a record, writes its header, and tells where the payload goes. */
  #begin(kind: number, payloadBytes: number): number {
    if (this.#used + HOLE_RECORD_BYTES + RECORD_HEADER_BYTES + payloadBytes > CHUNK_BYTES) this.flush();
    this.#writeHole();
    this.#writeHeader(kind, payloadBytes);
    const at = this.#used;
    this.#used += payloadBytes;
    return at;
  }

  #writeHeader(kind: number, payloadBytes: number): void {
    this.#chunk.writeUInt8(kind, this.#used);
    this.#chunk.writeUInt32LE(payloadBytes, this.#used + 1);
    this.#used += RECORD_HEADER_BYTES;
  }
}
