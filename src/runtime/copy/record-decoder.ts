/**
 * Decoder of copy streams. The stream was made by guest code: every length, order and path is checked, and what a
 * file's data may amount to is what its entry said. Memory is bounded by one record without its data.
 */
import { SbxError } from "../errors.ts";
import {
  type CopyEntry,
  type CopyEvent,
  ENTRY_FIXED_BYTES,
  ENTRY_TYPES,
  type EntryType,
  MAX_LINK_BYTES,
  MAX_PATH_BYTES,
  MAX_RECORD_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_KINDS,
} from "./copy-records.ts";
import { showPath, splitEntryPath } from "./entry-path.ts";

/** Largest payload of each kind but data. A skipped record holds a path and a sentence. */
const MAX_PAYLOAD_BYTES: Record<number, number> = {
  [RECORD_KINDS.entry]: ENTRY_FIXED_BYTES + MAX_PATH_BYTES + MAX_PATH_BYTES,
  [RECORD_KINDS.data]: MAX_RECORD_BYTES,
  [RECORD_KINDS.hole]: 8,
  [RECORD_KINDS.endOfFile]: 0,
  [RECORD_KINDS.skipped]: 64 * 1024,
  [RECORD_KINDS.end]: 0,
};

const TYPES_BY_NUMBER = new Map<number, EntryType>(
  (Object.entries(ENTRY_TYPES) as [EntryType, number][]).map(([name, number]) => [number, name]),
);

export class RecordDecoder {
  /** A header, or a payload other than data, that a chunk has cut. */
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #kind = 0;
  /** Payload still to come; -1 while the header is read. */
  #remainingBytes = -1;
  /** The file whose data is being sent, and how far it is. */
  #file: CopyEntry | undefined;
  #position = 0;
  #isEnded = false;

  /** Whether the end record was seen. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /**
   * Takes a chunk and gives what became complete. Data events are views of the chunk.
   *
   * @throws SbxError `copy_refused`, after which nothing more may be pushed
   */
  *push(chunk: Buffer): Generator<CopyEvent, void, undefined> {
    let offset = 0;
    for (;;) {
      if (this.#remainingBytes < 0) {
        if (this.#isEnded && offset < chunk.length) refuse("bytes after its end");
        const header = this.#take(chunk, offset, RECORD_HEADER_BYTES);
        if (header === undefined) return;
        offset += header.consumed;
        this.#startRecord(header.bytes);
      }
      if (this.#kind === RECORD_KINDS.data) {
        const end = Math.min(chunk.length, offset + this.#remainingBytes);
        if (end > offset) {
          const bytes = chunk.subarray(offset, end);
          offset = end;
          this.#remainingBytes -= bytes.length;
          yield { kind: "data", bytes };
        }
        if (this.#remainingBytes > 0) return;
        this.#remainingBytes = -1;
        continue;
      }
      const payload = this.#take(chunk, offset, this.#remainingBytes);
      if (payload === undefined) return;
      offset += payload.consumed;
      this.#remainingBytes = -1;
      yield this.#finishRecord(payload.bytes);
    }
  }

  /** @throws SbxError `copy_refused` if the stream ended before its end record */
  finish(): void {
    if (!this.#isEnded) refuse("no end");
  }

  /** The next `wanted` bytes in one piece, or undefined while they have not all arrived. */
  #take(chunk: Buffer, offset: number, wanted: number): { bytes: Buffer; consumed: number } | undefined {
    if (this.#partialBytes === 0 && chunk.length - offset >= wanted) {
      return { bytes: chunk.subarray(offset, offset + wanted), consumed: wanted };
    }
    const part = chunk.subarray(offset, offset + wanted - this.#partialBytes);
    if (this.#partialBytes + part.length < wanted) {
      // Copied: a few bytes must not keep the whole chunk in memory.
      if (part.length > 0) this.#partial.push(Buffer.from(part));
      this.#partialBytes += part.length;
      return undefined;
    }
    const bytes = Buffer.concat([...this.#partial, part], wanted);
    this.#partial = [];
    this.#partialBytes = 0;
    return { bytes, consumed: part.length };
  }

  #startRecord(header: Buffer): void {
    const kind = header.readUInt8(0);
    const length = header.readUInt32LE(1);
    const limit = MAX_PAYLOAD_BYTES[kind];
    if (limit === undefined) refuse(`a record of kind ${kind}`);
    if (length > limit) refuse(`a record of kind ${kind} with ${length} bytes`);
    if (kind === RECORD_KINDS.data) this.#advance(length, "data");
    this.#kind = kind;
    this.#remainingBytes = length;
  }

  #finishRecord(payload: Buffer): CopyEvent {
    switch (this.#kind) {
      case RECORD_KINDS.entry:
        return { kind: "entry", entry: this.#startEntry(readEntry(payload)) };
      case RECORD_KINDS.hole: {
        if (payload.length !== 8) refuse("a hole without a length");
        const bytes = readSize(payload, 0);
        this.#advance(bytes, "a hole");
        return { kind: "hole", bytes };
      }
      case RECORD_KINDS.endOfFile:
        this.#endFile();
        return { kind: "endOfFile" };
      case RECORD_KINDS.skipped:
        return readSkipped(payload);
      default:
        if (this.#file !== undefined) refuse("its end inside a file");
        this.#isEnded = true;
        return { kind: "end" };
    }
  }

  #startEntry(entry: CopyEntry): CopyEntry {
    if (this.#file !== undefined) refuse(`${showPath(entry.path)} before the end of ${showPath(this.#file.path)}`);
    if (entry.type === "file") {
      this.#file = entry;
      this.#position = 0;
    }
    return entry;
  }

  #advance(bytes: number, what: string): void {
    if (this.#file === undefined) refuse(`${what} outside of a file`);
    this.#position += bytes;
    if (this.#position > this.#file.size) refuse(`more for ${showPath(this.#file.path)} than its size`);
  }

  #endFile(): void {
    if (this.#file === undefined) refuse("the end of a file outside of one");
    if (this.#position !== this.#file.size) {
      refuse(`${this.#position} of ${this.#file.size} bytes of ${showPath(this.#file.path)}`);
    }
    this.#file = undefined;
  }
}

function readEntry(payload: Buffer): CopyEntry {
  if (payload.length < ENTRY_FIXED_BYTES) refuse("an entry that is too short");
  const type = TYPES_BY_NUMBER.get(payload.readUInt8(0));
  if (type === undefined) refuse(`an entry of type ${payload.readUInt8(0)}`);
  const pathBytes = payload.readUInt16LE(21);
  const linkStart = 23 + pathBytes + 2;
  if (linkStart > payload.length) refuse("an entry that is too short for its path");
  const linkBytes = payload.readUInt16LE(linkStart - 2);
  if (linkStart + linkBytes !== payload.length) refuse("an entry that does not end with its link");
  // Copied: entries outlive the chunk that brought them.
  const path = Buffer.from(payload.subarray(23, 23 + pathBytes));
  const link = Buffer.from(payload.subarray(linkStart));
  splitEntryPath(path);
  checkLink(type, path, link);
  return {
    type,
    mode: payload.readUInt32LE(1) & 0o7777,
    mtimeMs: payload.readInt32LE(9) * 2 ** 32 + payload.readUInt32LE(5),
    size: type === "file" ? readSize(payload, 13) : 0,
    path,
    link,
  };
}

function checkLink(type: EntryType, path: Buffer, link: Buffer): void {
  switch (type) {
    case "file":
    case "directory":
      if (link.length > 0) refuse(`a link text for ${showPath(path)}, which is no link`);
      return;
    case "symlink":
      if (link.length === 0 || link.length > MAX_LINK_BYTES || link.includes(0)) {
        refuse(`a symbolic link that no file system can hold: ${showPath(path)}`);
      }
      return;
    case "hardLink":
      splitEntryPath(link);
      return;
  }
}

function readSkipped(payload: Buffer): CopyEvent {
  if (payload.length < 2) refuse("a skipped record that is too short");
  const pathBytes = payload.readUInt16LE(0);
  if (2 + pathBytes > payload.length) refuse("a skipped record that is too short for its path");
  const path = Buffer.from(payload.subarray(2, 2 + pathBytes));
  return { kind: "skipped", path, reason: payload.toString("utf8", 2 + pathBytes) };
}

/** A `u64` that a number can hold; no file is larger than 2^53 bytes. */
function readSize(payload: Buffer, offset: number): number {
  const size = payload.readUInt32LE(offset + 4) * 2 ** 32 + payload.readUInt32LE(offset);
  if (!Number.isSafeInteger(size)) refuse("a size beyond any file's");
  return size;
}

function refuse(what: string): never {
  throw new SbxError("copy_refused", `the sandbox sent a copy that breaks the rules: ${what}`);
}
