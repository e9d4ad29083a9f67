/**
 * Copies a running machine into files from which others can be restored: memory, state of the devices, root disk. The
 * guest stands still only while the devices are saved, what has changed of its memory meanwhile is copied, and its root
 * disk gets a new layer.
 */
import { open, readFile, rm, writeFile } from "node:fs/promises";
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

/**
 * @param signal gives it up; not from the moment on in which the root disk has its new layer
 * @throws SbxError `disk_full`, `vm_memory_unreadable`, `timeout`, or with QEMU's words. The source goes on in any case
 */
export async function copyMachine(machine: CopiedMachine, call: CopyCall, signal: AbortSignal): Promise<CopyAnswer> {
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
    return standingStill(machine, call, state, { finish: async () => image.finish(), signal });
  });
  if (call.durable) await Promise.all([memory.sync(), syncFile(call.statePath)]);
  return answer;
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}

/** Has QEMU write its state to a file that it is handed, and makes that into what other QEMUs take. */
async function withStateFile<T>(
  { files }: CopiedMachine,
  { statePath }: CopyCall,
  work: (state: FileSet) => Promise<T>,
): Promise<T> {
  const rawPath = `${statePath}.raw`;
  const raw = await open(rawPath, "wx", 0o600);
  let set: FileSet | undefined;
  try {
    [set] = await files.give([[{ fd: raw.fd, access: "read-write" }]]);
    if (set === undefined) throw new SbxError("internal", "QEMU was given no file for its state");
    const result = await work(set);
    if ((await raw.stat()).size > MAX_DEVICE_STATE_BYTES) {
      throw new SbxError("vm_start_failed", "QEMU wrote more state than any machine has");
    }
    await writeFile(statePath, toIncomingState(await readFile(rawPath)), { flag: "wx", mode: 0o600 });
    return result;
  } finally {
    await set?.remove().catch(() => undefined); // QEMU is gone, and the set with it
    await raw.close();
    await rm(rawPath, { force: true });
  }
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
  state: FileSet,
  { finish, signal }: { finish: () => Promise<MemoryPass>; signal: AbortSignal },
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
        const memories = machine.memories();
        await take();
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
