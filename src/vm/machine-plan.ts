/** From what a machine should be to the command line that starts it in its jail. */
import { chown } from "node:fs/promises";
import path from "node:path";
import { SbxError } from "../runtime/errors.ts";
import { grantDevice, type DeviceAccess } from "./device-access.ts";
import { fileSizeFor } from "./file-size-limit.ts";
import { hasPrivatePaths, jailedCommand, type JailFile, type JailTools } from "./jail.ts";
import type { BootFiles, DiskLayer, MachineSpec } from "./machine-spec.ts";
import { qemuArgs, type DiskWrites, type StartMode } from "./qemu-args.ts";
import type { QemuBinary } from "./qemu-binary.ts";

/** Room for QEMU itself beside the guest's memory: code, translated code, buffers. `bytes` of address space. */
const ADDRESS_SPACE_OVERHEAD_BYTES = 4 * 1024 ** 3;

const KVM_PATH = "/dev/kvm";

export interface StartOptions {
  /** In the arguments of the machine's processes, so that they can be found. */
  name: string;
  qemu: QemuBinary;
  tools: JailTools;
  machine: MachineSpec;
  mode:
    | { kind: "boot"; boot: BootFiles; commandLine: string; shareMemory: boolean }
    | { kind: "restore"; statePath: string };
  /** The file behind the guest's memory; `null` for none. */
  memoryPath: string | null;
  /** Root disk, the writable layer last. */
  disk: DiskLayer[];
  diskWrites: DiskWrites;
  diskBytes: number;
  /** Whether it gets a network card. */
  network: boolean;
  /** A directory that QEMU may write to (for a migration socket), or `null`. */
  exchangePath: string | null;
  /** Account for QEMU when sbx is root; see {@link unprivilegedUid}. */
  uid: number | null;
  /** Descriptor that bubblewrap reports the end on. Absent: whoever starts the machine sees it itself. */
  statusFd?: number;
}

/** An account number of its own for each machine: no passwd entry, no file, no second process uses it. */
export function unprivilegedUid(): number | null {
  return process.getuid?.() === 0 ? 1_000_000_000 + Math.floor(Math.random() * 500_000_000) : null;
}

export interface MachinePlan {
  command: [string, ...string[]];
  exchangePath: string | null;
}

/**
 * Gives the machine's account its disk and says how the machine is started.
 *
 * @throws SbxError `vm_start_failed` as root without the tools that take root's rights from QEMU
 */
export async function planMachine(options: StartOptions): Promise<MachinePlan> {
  const privatePaths = hasPrivatePaths(options.tools);
  if (options.uid !== null) refuseRoot(options.tools);
  const files: JailFile[] = [];
  const place = (hostPath: string, jailPath: string, writable: boolean): string => {
    files.push({ hostPath, jailPath, writable });
    return privatePaths ? jailPath : hostPath;
  };
  const readOnlyTemplate = options.qemu.major > 8 || (options.qemu.major === 8 && options.qemu.minor >= 2);
  const keepsMemory = options.mode.kind === "boot" && options.mode.shareMemory;
  const memoryPath =
    options.memoryPath === null ? null : place(options.memoryPath, "/vm/ram", keepsMemory || !readOnlyTemplate);
  const disk = options.disk.map((layer, index) => {
    const top = index === options.disk.length - 1;
    return { ...layer, path: place(layer.path, `/vm/disk${index}`, top) };
  });
  const top = options.disk.at(-1);
  if (options.uid !== null && top !== undefined) await chown(top.path, options.uid, options.uid);
  const exchangePath = options.exchangePath === null ? null : place(options.exchangePath, "/vm/exchange", true);
  const mode = startMode(options.mode, place);
  const kvm =
    options.machine.accelerator.name === "kvm" ? await openKvm(options.uid, path.dirname(top?.path ?? "/")) : null;
  const command = jailedCommand(
    {
      tools: options.tools,
      qemuPath: options.qemu.path,
      files,
      devices: kvm === null ? [] : [{ hostPath: kvm.hostPath, jailPath: KVM_PATH }],
      runAs: options.uid === null ? null : { uid: options.uid, groups: kvm?.groups ?? [] },
      limits: {
        addressSpaceBytes: options.machine.memoryBytes + ADDRESS_SPACE_OVERHEAD_BYTES,
        fileSizeBytes: fileSizeFor(Math.max(options.diskBytes, options.machine.memoryBytes)),
      },
      ...(options.statusFd === undefined ? {} : { statusFd: options.statusFd }),
    },
    qemuArgs({
      ...{ name: options.name, machine: options.machine, network: options.network, diskWrites: options.diskWrites },
      ...{ mode, memoryPath, readOnlyTemplate, disk },
    }),
  );
  return { command, exchangePath };
}

function startMode(
  mode: StartOptions["mode"],
  place: (hostPath: string, jailPath: string, writable: boolean) => string,
): StartMode {
  if (mode.kind === "restore") return { kind: "restore" };
  const boot = {
    kernelPath: place(mode.boot.kernelPath, "/vm/kernel", false),
    initrdPath: place(mode.boot.initrdPath, "/vm/initrd", false),
  };
  return { ...mode, boot };
}

/** Without bubblewrap and setpriv nothing would take QEMU's rights from it. */
function refuseRoot(tools: JailTools): void {
  for (const [name, found, tool] of [
    ["bubblewrap", tools.bubblewrap, "bubblewrap"],
    ["setpriv", tools.setpriv, "util-linux"],
  ] as const) {
    if (found !== null) continue;
    throw new SbxError("vm_start_failed", `sbx runs as root and ${name} is missing, so QEMU would run as root`, {
      hint: `sudo apt-get install ${tool}`,
    });
  }
}

/** An ordinary user's QEMU has that user's groups. */
async function openKvm(uid: number | null, directory: string): Promise<DeviceAccess> {
  return uid === null ? { hostPath: KVM_PATH, groups: [] } : grantDevice(KVM_PATH, uid, directory);
}
