/** The disk of VS Code in a sandbox: attached when it is first needed. */
import { EDITOR_MOUNT_PATH } from "../../../protocol/editor-launch.ts";
import type { VolumeApi } from "../../disks.ts";
import type { CallOptions } from "../../types.ts";
import type { DiskContext } from "../disks/disk-context.ts";

/** Id of the volume that it is on in a sandbox; undefined if it is not attached. */
export function findEditorDisk({ state }: DiskContext, sandboxId: string): string | undefined {
  const claims = state.disks.claims.list();
  return claims.find(({ holder, path: place }) => holder === sandboxId && place === EDITOR_MOUNT_PATH)?.volumeId;
}

/**
 * A sandbox keeps the version that it was given first, until that is stopped.
 *
 * @throws SbxError `image_build_failed`, `disk_full`, `name_in_use`, `volume_broken`
 */
export async function attachEditorDisk(
  context: DiskContext,
  volumes: Pick<VolumeApi, "attach">,
  sandboxId: string,
  options: CallOptions,
): Promise<void> {
  if (findEditorDisk(context, sandboxId) !== undefined) return;
  // Loaded here: other commands do not need it.
  const { openEditorVolume } = await import("./editor-volume.ts");
  const volume = await openEditorVolume(context, options);
  await volumes.attach(volume.id, sandboxId, { path: EDITOR_MOUNT_PATH, access: "read-only" }, options);
}

/** One command at a time works on VS Code in a sandbox. */
export function editorLock(sandboxId: string): string {
  return `editor-${sandboxId}`;
}
