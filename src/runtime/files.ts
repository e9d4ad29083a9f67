/**
 * Single files of a guest at the Runtime interface, by its ordinary user's rights. Whole trees go by `upload` and
 * `download`. A relative path begins at the directory that commands start in. Names and contents are the guest's.
 */
import type { CallOptions } from "./types.ts";

export type GuestEntryKind = "file" | "directory" | "symlink" | "other";

export interface GuestEntry {
  name: string;
  kind: GuestEntryKind;
}

export interface GuestStat {
  kind: GuestEntryKind;
  sizeBytes: number;
  /** Permission bits. */
  mode: number;
  /** Epoch ms. */
  modifiedAt: number;
}

export interface ReadOptions extends CallOptions {
  /** Where to begin, bytes. */
  offset?: number;
  /** No more than so many; to the end of the file if absent. */
  maxBytes?: number;
}

export interface WriteOptions extends CallOptions {
  /** What is there is replaced, added to, or an error. `replace` if absent. */
  existing?: "replace" | "append" | "refuse";
  /** Permission bits of a new file. */
  mode?: number;
}

/** Each call throws SbxError `guest_error` where the guest refuses it, with its reason. */
export interface GuestFiles {
  read(path: string, options?: ReadOptions): Promise<Uint8Array>;
  /** A text is written as UTF-8. */
  write(path: string, content: Uint8Array | string, options?: WriteOptions): Promise<void>;
  /** What is in a directory, by name. */
  list(path: string, options?: CallOptions): Promise<GuestEntry[]>;
  /** Of what a symbolic link points to. */
  stat(path: string, options?: CallOptions): Promise<GuestStat>;
  /** With the directories above it; one that is there already is no error. */
  makeDirectory(path: string, options?: CallOptions): Promise<void>;
  /** @param options.recursive a directory with all that is in it */
  remove(path: string, options?: CallOptions & { recursive?: boolean }): Promise<void>;
}
