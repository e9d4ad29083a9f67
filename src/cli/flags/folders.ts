/** Options that give a new sandbox files of this machine; shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import path from "node:path";
import type { CopySpec, MountSpec } from "../../runtime/folder-spec.ts";
import { parseFolderOperand } from "../parsers/folder-operand.ts";
import { parseSize } from "../parsers/size.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

/** Where `--copy` puts things that are not given a place, as in the reference command line. */
const COPY_DESTINATION = "/app";
const QUOTA_LIMITS = { minBytes: 0, maxBytes: 64 * 1024 ** 4 };

export const folderFlags = {
  copy: Flags.string({
    summary: "Copy a file or directory of this machine into the sandbox before anything runs: into /app, or to a path.",
    helpValue: "PATH[:/path]",
    multiple: true,
    multipleNonGreedy: true,
  }),
  mount: Flags.string({
    summary: "Give the sandbox a directory of this machine: a copy of it, or with :ro or :rw the directory itself.",
    helpValue: "DIR:/path[:ro|:rw]",
    multiple: true,
    multipleNonGreedy: true,
  }),
  "mount-quota": Flags.custom<number>({
    summary: "How much a :rw mount may grow by what the sandbox writes (default 4GiB).",
    helpValue: "SIZE",
    parse: async (text) => parseSize(text, QUOTA_LIMITS),
    dependsOn: ["mount"],
  })(),
};

export interface FolderFlagValues {
  copy?: string[] | undefined;
  mount?: string[] | undefined;
  "mount-quota"?: number | undefined;
}

/**
 * What the options ask for. Paths of this machine are relative to where the command was run.
 *
 * @throws SbxError `usage`
 */
export function readFolders(flags: FolderFlagValues, cwd: string): { copies?: CopySpec[]; mounts?: MountSpec[] } {
  const copies: CopySpec[] = (flags.copy ?? []).map((text) => readCopy(text, cwd));
  const mounts: MountSpec[] = [];
  for (const text of flags.mount ?? []) {
    const { hostPath: given, guestPath, access } = parseFolderOperand(text);
    if (guestPath === null) {
      throw usageError(`${quoteValue(text)} does not say where it goes in the sandbox`, `--mount ${text}:/path`);
    }
    const hostPath = path.resolve(cwd, given);
    if (access === "copy") copies.push({ hostPath, guestPath, placement: "as" });
    else mounts.push({ hostPath, guestPath, access, ...quotaOf(flags) });
  }
  return { ...(copies.length === 0 ? {} : { copies }), ...(mounts.length === 0 ? {} : { mounts }) };
}

function readCopy(text: string, cwd: string): CopySpec {
  const { hostPath: given, guestPath, access } = parseFolderOperand(text);
  if (access !== "copy") {
    throw usageError(`${quoteValue(text)}: a copy is neither read-only nor live`, `--mount ${text}`);
  }
  const hostPath = path.resolve(cwd, given);
  if (guestPath === null) return { hostPath, guestPath: COPY_DESTINATION, placement: "into" };
  return { hostPath, guestPath, placement: guestPath.endsWith("/") ? "into" : "as" };
}

function quotaOf(flags: FolderFlagValues): { quota?: { bytes: number } } {
  const bytes = flags["mount-quota"];
  return bytes === undefined ? {} : { quota: { bytes } };
}
