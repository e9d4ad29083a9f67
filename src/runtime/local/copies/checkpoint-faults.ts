/** What is wrong with a checkpoint: with its own files, and with the disk that they fit. */
import type { CheckpointRow } from "../../../store/disks/checkpoint-store.ts";
import { SbxError } from "../../errors.ts";
import { chainFaults } from "../disks/chain.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { openSaved, savedFiles } from "./saved-machine.ts";

export async function checkpointFaults(
  context: DiskContext,
  { name, directory, layer }: Pick<CheckpointRow, "name" | "directory" | "layer">,
): Promise<string[]> {
  const faults: string[] = [];
  try {
    await openSaved(savedFiles(directory), name);
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    faults.push(error.message);
  }
  const chain = layer === null ? [] : context.state.disks.layers.chain(layer);
  return [...faults, ...(await chainFaults(context, chain))];
}
