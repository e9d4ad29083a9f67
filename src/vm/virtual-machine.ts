/**
 * One QEMU process and the connections to it. They are socket pairs that QEMU inherits, so there is no path to find,
 * guess or leave behind, and all of them end with either side.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { chown, open } from "node:fs/promises";
import path from "node:path";
import type { Duplex, Readable } from "node:stream";
import { SbxError } from "../runtime/errors.ts";
import { grantDevice, type DeviceAccess } from "./device-access.ts";
import { hasPrivatePaths, jailedCommand, type JailFile, type JailTools } from "./jail.ts";
import type { BootFiles, DiskLayer, MachineSpec } from "./machine-spec.ts";
import { qemuArgs, QEMU_FD, type StartMode } from "./qemu-args.ts";
import type { QemuBinary } from "./qemu-binary.ts";
import { Qmp } from "./qmp.ts";

/** Room for QEMU itself beside the guest's memory: code, translated code, buffers. `bytes` of address space. */
const ADDRESS_SPACE_OVERHEAD_BYTES = 4 * 1024 ** 3;

const KVM_PATH = "/dev/kvm";

/** How long after QEMU's end its complaints and the guest's last words on the console are waited for, `ms`. */
const LAST_WORDS_MS = 200;

export interface StartOptions {
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
  diskBytes: number;
  /** A directory that QEMU may write to (for a migration socket), or `null`. */
  exchangePath: string | null;
  /** Account for QEMU when sbx is root; see {@link unprivilegedUid}. */
  uid: number | null;
}

export interface VmExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface VirtualMachine extends AsyncDisposable {
  /** The outermost process; QEMU is it or a descendant of it. */
  readonly pid: number;
  readonly qmp: Qmp;
  readonly agentSocket: Duplex;
  /** The guest's serial console. Must be read, or the guest's writes to it stall. */
  readonly consoleOutput: Readable;
  /** QEMU's own complaints. */
  readonly errorOutput: Readable;
  /** Path of `exchangePath` as QEMU sees it. */
  readonly exchangePath: string | null;
  readonly exited: Promise<VmExit>;
  /** Ends it at once; settles when it is gone. May be called more than once. */
  stop(): Promise<void>;
}

/** An account number of its own for each machine: no passwd entry, no file, no second process uses it. */
export function unprivilegedUid(): number | null {
  return process.getuid?.() === 0 ? 1_000_000_000 + Math.floor(Math.random() * 500_000_000) : null;
}

/**
 * Starts QEMU in its jail. Returns as soon as the process runs; it may still end for a reason that only
 * `errorOutput` tells.
 *
 * @throws SbxError `vm_start_failed` when the process could not be started
 */
export async function startMachine(options: StartOptions): Promise<VirtualMachine> {
  const plan = await planPaths(options);
  const state = options.mode.kind === "restore" ? await open(options.mode.statePath, "r") : null;
  try {
    const child = spawn(plan.command[0], plan.command.slice(1), {
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe", state === null ? "ignore" : state.fd],
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
      // A process group of its own: a terminal's Ctrl-C is sbx's to act on, and stop() ends the group.
      detached: true,
    });
    const vm = await attach(child, plan.exchangePath);
    allowTemplates(vm, options.mode.kind);
    return vm;
  } finally {
    await state?.close();
  }
}

/**
 * Memory that is shared with its file is not part of the saved state. (There is no command-line option for it in QEMU
 * 7.2, so a restore waits for these commands. What goes wrong shows in QEMU's exit.)
 */
function allowTemplates(vm: VirtualMachine, kind: "boot" | "restore"): void {
  const ignore = (): void => undefined;
  const capabilities = [{ capability: "x-ignore-shared", state: true }];
  vm.qmp.execute("migrate-set-capabilities", { capabilities }).catch(ignore);
  if (kind === "restore") vm.qmp.execute("migrate-incoming", { uri: `fd:${QEMU_FD.state}` }).catch(ignore);
}

interface PathPlan {
  command: [string, ...string[]];
  exchangePath: string | null;
}

async function planPaths(options: StartOptions): Promise<PathPlan> {
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
        // A qcow2 file holds its disk and some metadata.
        fileSizeBytes: Math.ceil(Math.max(options.diskBytes, options.machine.memoryBytes) * 1.05) + 1024 ** 3,
      },
    },
    qemuArgs({ machine: options.machine, mode, memoryPath, readOnlyTemplate, disk }),
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

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // ESRCH: it ended in this moment.
  }
}

async function attach(child: ChildProcess, exchangePath: string | null): Promise<VirtualMachine> {
  const exited = new Promise<VmExit>((resolve) => {
    child.once("exit", (code, signal) => {
      // Its last words may still be in the pipe.
      const settle = (): void => resolve({ code, signal });
      // Not unreferenced: it may be all that is left for this process to wait for.
      setTimeout(settle, LAST_WORDS_MS);
      void Promise.all([closed(child.stdout), closed(child.stderr)]).then(settle);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => reject(new SbxError("vm_start_failed", "QEMU could not be started", { cause })));
  });
  const [, consoleOutput, errorOutput, monitor, agentSocket] = child.stdio;
  const pid = child.pid;
  if (!consoleOutput || !errorOutput || !monitor || !agentSocket || pid === undefined) {
    throw new SbxError("internal", `QEMU was started without descriptor ${QEMU_FD.monitor} or ${QEMU_FD.agent}`);
  }
  const stop = async (): Promise<void> => {
    // SIGKILL: QEMU has nothing to save. The whole group, because bubblewrap's inner process only dies with the outer
    // one after it has asked for that.
    if (child.exitCode === null && child.signalCode === null) killGroup(pid);
    await exited;
  };
  return {
    pid,
    qmp: new Qmp(monitor as Duplex),
    agentSocket: agentSocket as Duplex,
    consoleOutput: consoleOutput,
    errorOutput: errorOutput,
    exchangePath,
    exited,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function closed(stream: Readable | null): Promise<void> {
  if (stream === null || stream.closed) return;
  await new Promise<void>((resolve) => stream.once("close", resolve));
}
