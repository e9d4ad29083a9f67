/** The copies that a new sandbox is given, and the record of what they were. */
import { SbxError } from "../../errors.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import { ManifestBuilder, MAX_ENTRIES, writeManifest } from "./copy-manifest.ts";
import type { PlannedCopy } from "./plan-folders.ts";

export interface InitialCopyOptions extends CallOptions {
  onNotice?: (text: string) => void;
}

/**
 * Makes the copies. Directories are remembered, so that what the sandbox changes in them can be brought back.
 *
 * @param sandboxDirectory where that is written down
 * @throws SbxError as `Sandbox.upload` does
 */
export async function makeInitialCopies(
  sandbox: Sandbox,
  copies: readonly PlannedCopy[],
  sandboxDirectory: string,
  { signal, onProgress, onNotice }: InitialCopyOptions,
): Promise<void> {
  const call = { ...(signal === undefined ? {} : { signal }), ...(onProgress === undefined ? {} : { onProgress }) };
  for (const [index, { hostPath, guestPath, isDirectory }] of copies.entries()) {
    const observer = new ManifestBuilder();
    const sources = isDirectory ? [`${hostPath}/.`] : [hostPath];
    const report = await sandbox.upload(sources, guestPath, { ...call, observer });
    for (const { path, reason } of report.skipped) onNotice?.(`not copied: ${path}: ${reason}`);
    if (!isDirectory) continue;
    if (observer.overflowed) {
      onNotice?.(`${hostPath} has more than ${MAX_ENTRIES} entries: sbx sync cannot bring its changes back`);
      continue;
    }
    const manifest = { hostPath, guestPath, copiedAt: Date.now(), entries: observer.entries };
    try {
      writeManifest(sandboxDirectory, index, manifest);
    } catch (cause) {
      throw new SbxError("file_error", `what was copied of ${hostPath} cannot be written down`, { cause });
    }
  }
}
