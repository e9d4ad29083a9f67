/**
 * Copies a running machine into files from which others can be restored: memory, state of the devices, root disk. The
 * guest stands still only while the devices are saved, what has changed of its memory meanwhile is copied, and its root
 * disk gets a new layer.
 */
import { open, rm, writeFile } from "node:fs/promises";
import type { AgentLink } from "../guest/link.ts";
import { memoryProgramPath } from "../host/package-root.ts";
import type { CopiedVolume, CopyAnswer, CopyCall, CopyMemories } from "../protocol/machine-calls.ts";
import { SbxError } from "../runtime/errors.ts";
import { MAX_DEVICE_STATE_BYTES, toIncomingState } from "../vm/device-state.ts";
import { ROOT_DISK, type MachineDisks, type Overlay } from "../vm/machine-disks.ts";
import { openMemoryImage, type MemoryPass } from "../vm/memory-image.ts";
import type { FileSet, QemuFiles } from "../vm/qemu-files.ts";
import type { Qmp } from "../vm/qmp.ts";
import type { Standstill } from "./standstill.ts";

export interface CopiedMachine {
  /** The machine's outermost process. */
  pid: number;
  qmp: Pick<Qmp, "execute">;
  link: Pick<AgentLink, "detach" | "attach">;
  disks: Pick<MachineDisks, "snapshot">;
  files: Pick<QemuFiles, "give">;
  standstill: Standstill;
  /** Disks that are copied with the machine, beside its root disk. */
  volumes: readonly CopiedVolume[];
  /** As it was launched. */
  shape: CopyAnswer["machine"];
  /** What the guest's surroundings know, at the moment of the copy. */
  memories: () => CopyMemories;
}

/** How far a copy has come. */
interface Progress {
  /** The machine writes to its new layers. */
  isSwitched: boolean;
}

/**
 * @param signal gives it up; not from the moment on in which the root disk has its new layer
 * @throws SbxError `disk_full`, `vm_memory_unreadable`, `timeout`, or with QEMU's words; `supervisor_lost` for whatever
 *   fails once the disks have their new layers: they must be kept. The source goes on in any case
 */
export async function copyMachine(machine: CopiedMachine, call: CopyCall, signal: AbortSignal): Promise<CopyAnswer> {
  const progress: Progress = { isSwitched: false };
  try {
    return await copyFiles(machine, call, { progress, signal });
  } catch (cause) {
    if (!progress.isSwitched) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SbxError("supervisor_lost", `the machine was copied, but the copy could not be kept: ${why}`, {
      cause,
      hint: "sbx list",
    });
  }
}

async function copyFiles(
  machine: CopiedMachine,
  call: CopyCall,
  { progress, signal }: { progress: Progress; signal: AbortSignal },
): Promise<CopyAnswer> {
  await using memory = await open(call.memoryPath, "wx+", 0o600);
  // QEMU of each copy has an account of its own; nobody else can reach the directory.
  await memory.chmod(0o666);
  const { pid, shape } = machine;
  const { memoryBytes } = shape.machine;
  await using image = await openMemoryImage({
    ...{ helperPath: memoryProgramPath(), machinePid: pid, memoryBytes, target: memory, signal },
  });
  await image.copy();
  signal.throwIfAborted();
  const answer = await withStateFile(machine, call, async (state) => {
    return standingStill(machine, call, state, { finish: async () => image.finish(), progress, signal });
  });
  if (call.durable) await Promise.all([memory.sync(), syncFile(call.statePath)]);
  return answer;
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}

interface StateFile {
  /** What QEMU opens. */
  path: string;
  /** Makes what QEMU has written into what other QEMUs take. */
  convert: () => Promise<void>;
}

/** Has a file that QEMU is handed, and may write its state to. */
async function withStateFile<T>(
  { files }: CopiedMachine,
  { statePath }: CopyCall,
  work: (state: StateFile) => Promise<T>,
): Promise<T> {
  const rawPath = `${statePath}.raw`;
  const raw = await open(rawPath, "wx", 0o600);
  let set: FileSet | undefined;
  try {
    [set] = await files.give([[{ fd: raw.fd, access: "read-write" }]]);
    if (set === undefined) throw new SbxError("internal", "QEMU was given no file for its state");
    const convert = async (): Promise<void> => {
      await writeFile(statePath, toIncomingState(await readState(rawPath)), { flag: "wx", mode: 0o600 });
    };
    return await work({ path: set.path, convert });
  } finally {
    await set?.remove().catch(() => undefined); // QEMU is gone, and the set with it
    await raw.close();
    await rm(rawPath, { force: true });
  }
}

/** No more than was there at first: QEMU, whatever it has become, may still write to it. */
async function readState(path: string): Promise<Buffer> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  if (size > MAX_DEVICE_STATE_BYTES) {
    throw new SbxError("vm_start_failed", "QEMU wrote more state than any machine has");
  }
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
  return buffer.subarray(0, bytesRead);
}

function overlaysOf({ layerPath, volumes }: CopyCall, copied: readonly CopiedVolume[]): Overlay[] {
  const serialOf = (id: string): string => copied.find((volume) => volume.id === id)?.serial ?? id;
  return [
    { disk: ROOT_DISK, layerPath },
    ...volumes.map((volume) => ({ disk: serialOf(volume.id), layerPath: volume.layerPath })),
  ];
}

async function standingStill(
  machine: CopiedMachine,
  call: CopyCall,
  state: StateFile,
  { finish, progress, signal }: { finish: () => Promise<MemoryPass>; progress: Progress; signal: AbortSignal },
): Promise<CopyAnswer> {
  const { link, disks, qmp, standstill } = machine;
  let answer: CopyAnswer | undefined;
  const began = performance.now();
  await link.detach();
  try {
    await disks.snapshot(overlaysOf(call, machine.volumes), async (take) => {
      await standstill.hold("copy");
      try {
        signal.throwIfAborted();
        // `live`: without it QEMU would let go of its disks, for a machine that goes elsewhere.
        await qmp.execute("xen-save-devices-state", { filename: state.path, live: false });
        // After the devices: saving them may write to the guest's memory.
        const { private: privatePages, written: latePages } = await finish();
        // Before the disks are switched: until then a full disk of the host costs nothing.
        await state.convert();
        const memories = machine.memories();
        await take();
        progress.isSwitched = true;
        answer = {
          pausedMs: 0,
          privatePages,
          latePages,
          machine: machine.shape,
          memories,
          volumes: [...machine.volumes],
        };
      } finally {
        await standstill.release("copy");
      }
    });
  } finally {
    await link.attach();
  }
  if (answer === undefined) throw new SbxError("internal", "the machine was not copied");
  return { ...answer, pausedMs: performance.now() - began };
}
