/**
 * What a supervisor is told about its sandbox's folders when it is started (`SandboxLaunch.folders`), and what it
 * answers about them. The launcher has checked every path.
 */
import * as z from "zod/mini";

export interface FolderMountRecord {
  /** A directory of the host, absolute and without links. */
  hostPath: string;
  /** Where it is in the guest, absolute. */
  guestPath: string;
  readOnly: boolean;
  /** How much it may grow by what the guest writes. */
  quota: { bytes: number; files: number };
}

export interface FolderLaunch {
  /** Served for as long as the sandbox runs. Several may be below one another; the upper ones come first. */
  mounts: readonly FolderMountRecord[];
  /** Directories that are made in the guest before it is served, for copies; they belong to its user. */
  places: readonly string[];
  /** Directories of the host that are not shared, wherever they are met: those of sbx itself. */
  forbiddenPaths: readonly string[];
}

/** `GET /sbx/v1/folders` */
export const FOLDERS_TARGET = "/sbx/v1/folders";
/** Longest answer about folders, `bytes`. */
export const MAX_FOLDERS_ANSWER_BYTES = 16 * 1024 * 1024;

const count = () => z.number().check(z.int());

/** A mounted folder and what has become of it. */
export const folderViews = () =>
  z.array(
    z.object({
      hostPath: z.string(),
      guestPath: z.string(),
      readOnly: z.boolean(),
      quota: z.object({ bytes: count(), files: count() }),
      /** Growth so far, less what was removed. */
      usedBytes: count(),
      usedFiles: count(),
      /** Files that the guest wrote to and programs of the host run or obey. The paths are the guest's choice. */
      risks: z.array(z.object({ path: z.string(), why: z.string() })),
      moreRisks: count(),
      /** Why it is not served any more, if it is not. */
      failure: z.nullable(z.string()),
    }),
  );

export type FolderView = z.infer<ReturnType<typeof folderViews>>[number];
