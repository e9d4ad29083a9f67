/** Copies a running sandbox into files: the supervisor does it, and the root disk's layer is sealed in the same moment. */
import { MAX_DISK_LAYERS } from "../../../protocol/disk-calls.ts";
import type { CopyAnswer } from "../../../protocol/machine-calls.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { SbxError } from "../../errors.ts";
import { lockDisk, type DiskContext } from "../disks/disk-context.ts";
import { explainDiskError } from "../disks/disk-errors.ts";
import { prepareRootSwitch, settleRootSwitch } from "../disks/root-switch.ts";
import { isUndecided } from "../disks/supervisor-disks.ts";
import { copyMachine } from "./machine-calls.ts";
import { prepareVolumes, type SealedVolume } from "./volume-copies.ts";
import { describeSaved, type SavedFiles, type SavedMachine } from "./saved-machine.ts";

/** Some less than a disk may have (protocol/disk-calls.ts): a snapshot of the copy must be possible, too. */
const MAX_LAYERS = MAX_DISK_LAYERS - 56;

export interface SaveOptions {
  files: SavedFiles;
  /** Whether the files are to be on the host's disk when this returns. */
  durable: boolean;
  /** What becomes of volumes that are attached. */
  volumes: "refuse" | "copy";
  signal?: AbortSignal | undefined;
}

export interface Saving {
  saved: SavedMachine;
  /** Sealed layer of the root disk. It stays as long as the source lives or something else refers to it. */
  layerId: string;
  answer: CopyAnswer;
  /** Those of the source, as they were in that moment. */
  volumes: SealedVolume[];
}

/**
 * @param files their directory is there, closed to other accounts, and the caller's to remove
 * @throws SbxError `sandbox_paused`, `copy_unsupported`, `disk_full`, `vm_memory_unreadable`, `timeout`
 */
export async function saveMachine(context: DiskContext, source: SandboxRow, options: SaveOptions): Promise<Saving> {
  const { state } = context;
  const { files, durable, signal } = options;
  const { memoryPath, statePath } = files;
  await using volumes = await prepareVolumes(context, source, { policy: options.volumes, signal });
  // Until the supervisor is asked nobody writes to what is new.
  await using unasked = new AsyncDisposableStack();
  unasked.defer(async () => volumes.abandon());
  await using _lock = await lockDisk(state, source.id, signal);
  const disk = state.disks.claims.diskOf(source.id);
  if (disk?.next != null) await settleRootSwitch(state, disk);
  refuseLongChain(context, source);
  try {
    const root = await prepareRootSwitch(state, source);
    unasked.move();
    let answer: CopyAnswer;
    try {
      const call = { memoryPath, statePath, layerPath: root.nextPath, volumes: volumes.layers, durable };
      answer = await copyMachine({ socketPath: source.socket, signal }, call);
    } catch (error) {
      // Otherwise the disk may have been switched: the next command completes it.
      if (!isUndecided(error)) await Promise.all([root.abandon(), volumes.abandon()]);
      throw error;
    }
    await root.commit(true);
    const sealed = await volumes.commit(answer.volumes);
    return { saved: await describeSaved(source, answer, files), layerId: root.sealedId, answer, volumes: sealed };
  } catch (error) {
    throw explainDiskError(error, files.directory);
  }
}

/** Each generation of copies adds a layer, and QEMU opens all of them. */
function refuseLongChain({ state: { disks } }: DiskContext, { id, name }: SandboxRow): void {
  const disk = disks.claims.diskOf(id);
  const top = disk?.head ?? disk?.base ?? null;
  if (top === null || disks.layers.chain(top).length < MAX_LAYERS) return;
  throw new SbxError("copy_unsupported", `sandbox ${name ?? id} cannot be copied: its disk has ${MAX_LAYERS} layers`, {
    hint: "sbx snapshot create, then export and import make one layer of them",
  });
}
