/** A checkpoint's files and its record, from the beginning to the end. Whose it is, and what it is called, is the caller's. */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { syncPath, writeDurably } from "../../../host/durable-file.ts";
import type { CheckpointRow } from "../../../store/disks/checkpoint-store.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import type { MachineCopyReport } from "../../checkpoints.ts";
import { SbxError } from "../../errors.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { collectGarbage } from "../disks/garbage.ts";
import { saveMachine } from "./save-machine.ts";
import { openSaved, savedFiles } from "./saved-machine.ts";
import type { CopyOrigin } from "./start-copy.ts";

export type CheckpointPlace = Pick<CheckpointRow, "id" | "name" | "directory" | "spec">;

/**
 * @param row its record has been begun
 * @throws SbxError as saving does; nothing of it is left then
 */
export async function makeCheckpoint(
  context: DiskContext,
  source: SandboxRow,
  row: CheckpointPlace,
  signal?: AbortSignal,
): Promise<MachineCopyReport> {
  const { state } = context;
  try {
    mkdirSync(row.directory, { recursive: true, mode: 0o700 });
    const files = savedFiles(row.directory);
    const options = { files, durable: true, volumes: "refuse", signal } as const;
    const { saved, layerId, answer } = await saveMachine(context, source, options);
    state.disks.change(() => state.disks.checkpoints.hold(row.id, layerId));
    await writeDurably(files.recordPath, JSON.stringify(saved), 0o600);
    await syncPath(path.dirname(row.directory));
    state.disks.change(() => state.disks.checkpoints.ready(row.id, layerId, row.spec));
    return { pausedMs: answer.pausedMs };
  } catch (error) {
    await discardCheckpoint(context, row);
    throw error;
  }
}

/** Sandboxes that were made of it go on. */
export async function discardCheckpoint(
  { state }: DiskContext,
  { id, directory }: Pick<CheckpointRow, "id" | "directory">,
): Promise<void> {
  state.disks.change(() => state.disks.checkpoints.doom(id), { frees: true });
  rmSync(directory, { recursive: true, force: true });
  state.disks.change(() => state.disks.checkpoints.forget(id), { frees: true });
  await collectGarbage(state);
}

/** What a sandbox starts from. @throws SbxError `checkpoint_broken` */
export async function openCheckpoint({
  name,
  directory,
  layer,
}: Pick<CheckpointRow, "name" | "directory" | "layer">): Promise<CopyOrigin> {
  const files = savedFiles(directory);
  const saved = await openSaved(files, name);
  if (layer === null) throw new SbxError("checkpoint_broken", `checkpoint ${name} has no disk`);
  return { name, saved, files, layerId: layer, volumes: [] };
}
