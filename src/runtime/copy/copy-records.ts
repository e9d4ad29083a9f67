/**
 * The records of a copy stream (docs/protocol-agent.md, "The copy stream"): `u8 kind`, `u32 length`, payload, all
 * little-endian. Names are bytes: Linux does not promise that they are UTF-8.
 */

export const RECORD_KINDS = { entry: 1, data: 2, hole: 3, endOfFile: 4, skipped: 5, end: 6 } as const;

export const RECORD_HEADER_BYTES = 5;
export const MAX_RECORD_BYTES = 1024 * 1024;
export const MAX_PATH_BYTES = 4096;
/** The kernel takes no longer text for a symbolic link. */
export const MAX_LINK_BYTES = 4095;
/** Type, mode, mtime, size and the two lengths of an entry. */
export const ENTRY_FIXED_BYTES = 1 + 4 + 8 + 8 + 2 + 2;
/** Records travel in chunks of this size. */
export const CHUNK_BYTES = 256 * 1024;

export const ENTRY_TYPES = { file: 1, directory: 2, symlink: 3, hardLink: 4 } as const;
export type EntryType = keyof typeof ENTRY_TYPES;

export interface CopyEntry {
  type: EntryType;
  /** Permission bits, 07777. */
  mode: number;
  /** Milliseconds since the epoch. */
  mtimeMs: number;
  /** Bytes; 0 for what is no file. */
  size: number;
  /** Relative, `/` between components; the first is the name of the source. */
  path: Buffer;
  /** Text of a symbolic link, path of an earlier entry for a hard link, else empty. */
  link: Buffer;
}

/** What a decoder makes of a stream, in order. */
export type CopyEvent =
  | { kind: "entry"; entry: CopyEntry }
  /** Bytes at the current position of the file; a view of the chunk. */
  | { kind: "data"; bytes: Buffer }
  | { kind: "hole"; bytes: number }
  | { kind: "endOfFile" }
  | { kind: "skipped"; path: Buffer; reason: string }
  | { kind: "end" };

/** Hears what goes into a copy, in its order: each entry, and behind that of a file its bytes. */
export interface PackObserver {
  entry(entry: CopyEntry): void;
  /** Bytes of the last file; not to be kept. */
  data(bytes: Buffer): void;
  /** The last file turned out shorter than it was said to be. */
  cut(): void;
}

/** Entries left out that a report lists; of more it only says how many. */
export const MAX_SKIPPED_LISTED = 10_000;
