/** Directories of the host in a sandbox: copies that were made when it was created, and mounts that are live. */
import type { MountSpec } from "./folder-spec.ts";
import type { CallOptions } from "./types.ts";

export interface FolderApi {
  /** The live mounts of a running sandbox, and what has become of them. */
  mounts(ref: string, options?: CallOptions): Promise<MountInfo[]>;
  /** The directories that a sandbox was given copies of. */
  copies(ref: string, options?: CallOptions): Promise<CopyInfo[]>;
  /**
   * Compares a copy in a running sandbox with the directory that it was made from, and fetches what has changed in the
   * sandbox, so that it can be looked at. Nothing of the host is touched before {@link Comparison.apply}.
   *
   * @param options.hostPath which copy is meant, where there are several
   * @throws SbxError `folder_refused` where there is no such copy
   */
  compare(ref: string, options?: CallOptions & { hostPath?: string }): Promise<Comparison>;
}

export interface MountInfo {
  hostPath: string;
  guestPath: string;
  access: MountSpec["access"];
  quota: { bytes: number; files: number };
  /** Growth so far, less what was removed. */
  usedBytes: number;
  usedFiles: number;
  /** Files that the guest wrote to and that programs of the host run or obey, with the reason. */
  risks: { path: string; why: string }[];
  /** How many more there are. */
  moreRisks: number;
  /** Why it is not served any more, if it is not. */
  failure: string | null;
}

export interface CopyInfo {
  hostPath: string;
  guestPath: string;
  /** Epoch `ms`. */
  copiedAt: number;
  /** Entries that it had. */
  entries: number;
}

export type ChangeKind = "added" | "changed" | "removed";
export type EntryKind = "file" | "directory" | "symlink";

/** One difference between a copy as it was made and what the sandbox has now. */
export interface Change {
  kind: ChangeKind;
  /** Relative to the directory. What bytes of it are not UTF-8 are shown as such. */
  path: string;
  entry: EntryKind;
  /** Bytes of a file in the sandbox; `null` where there is none. */
  size: number | null;
  /** The host's own version has changed as well, and differs. */
  conflict: boolean;
  /** What deserves a look before it is brought over: code that programs of the host run. */
  warnings: string[];
}

/** What can be said of a file's content on both sides. `null` where there is no text to show. */
export interface ChangeTexts {
  /** The host's; empty where it has none. */
  before: string | null;
  /** The sandbox's. */
  after: string | null;
  /** Why there is none: binary, or too long. */
  reason: string | null;
}

export interface ApplyOptions extends CallOptions {
  /** Removes on the host what was removed in the sandbox. */
  remove: boolean;
  /** Takes the sandbox's version where the host's has changed, too. */
  force: boolean;
}

export interface ApplyReport {
  written: number;
  removed: number;
  /** What was left out, with the reason. */
  skipped: { path: string; reason: string }[];
}

export interface Comparison extends AsyncDisposable {
  readonly hostPath: string;
  readonly guestPath: string;
  /** Sorted by path. */
  readonly changes: readonly Change[];
  /** What of the sandbox's tree cannot be brought over, such as sockets. */
  readonly skipped: readonly { path: string; reason: string }[];
  texts(change: Change): Promise<ChangeTexts>;
  /** @throws SbxError `sync_conflict` where there are conflicts and they are not forced; nothing is done then */
  apply(options: ApplyOptions): Promise<ApplyReport>;
}
