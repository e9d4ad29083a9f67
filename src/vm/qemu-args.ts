/**
 * The QEMU command line, as a pure function of its input. Every value travels as its own argument and every option
 * with a path in JSON form, so that no character in a path is special to QEMU.
 */
import type { BootFiles, DiskLayer, MachineSpec } from "./machine-spec.ts";

/** File descriptors that QEMU inherits (see virtual-machine.ts, which opens them). */
export const QEMU_FD = { monitor: 3, agent: 4, state: 5, network: 7 } as const;

/** The guest's network card; the agent and the network stack know it (src/egress/net/addresses.ts). */
const GUEST_MAC = "52:54:00:73:62:02";

const MiB = 1024 * 1024;

/** Translated code of an emulated guest, `MiB`. QEMU's default of 1 GiB is a quarter of some hosts' memory. */
const TCG_BUFFER_MIB = 256;

export type StartMode =
  /** Boot the kernel; memory is shared with `memoryPath` so that a template can be kept. */
  | { kind: "boot"; boot: BootFiles; commandLine: string; shareMemory: boolean }
  /** Load device state from descriptor 5; memory maps `memoryPath` privately. */
  | { kind: "restore" };

export interface QemuArgsInput {
  /** Tells the processes of one machine from those of others. Letters, digits, `_` and `-`. */
  name: string;
  machine: MachineSpec;
  mode: StartMode;
  /** Absent: anonymous memory. */
  memoryPath: string | null;
  /** Since QEMU 8.2 a private mapping needs no write access to the template's file. */
  readOnlyTemplate: boolean;
  disk: DiskLayer[];
  /** `kept`: what the guest flushes has to reach the host's disk. */
  diskWrites: DiskWrites;
  /** Whether there is a network card. Its other end is descriptor 7: frames, each behind its length. */
  network: boolean;
}

/** Whether what is written to the root disk outlives the machine. */
export type DiskWrites = "discarded" | "kept";

export function qemuArgs(input: QemuArgsInput): string[] {
  const { machine, mode } = input;
  return [
    ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", input.name],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ["-machine", "microvm,rtc=on,pcie=off,usb=off,graphics=off,memory-backend=ram"],
    ["-accel", acceleratorOption(machine)],
    ["-cpu", machine.accelerator.cpuModel],
    ["-m", `${machine.memoryBytes / MiB}M`, "-smp", String(machine.cpus)],
    ["-object", JSON.stringify(memoryBackend(input))],
    mode.kind === "boot"
      ? ["-kernel", mode.boot.kernelPath, "-initrd", mode.boot.initrdPath, "-append", mode.commandLine]
      : ["-incoming", "defer"],
    ["-chardev", `socket,id=monitor,fd=${QEMU_FD.monitor}`, "-mon", "chardev=monitor,mode=control"],
    ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ["-device", "virtio-rng-device"],
    ["-device", "virtio-serial-device,max_ports=4", "-chardev", `socket,id=agent,fd=${QEMU_FD.agent}`],
    ["-device", "virtserialport,chardev=agent,name=sbx.agent,nr=1"],
    ...diskArguments(input.disk, input.diskWrites),
    // Disks that are attached to the running machine go here: the transport of the others takes none then.
    ["-device", "virtio-scsi-device,id=scsi"],
    ...(input.network ? networkArguments() : []),
  ].flat();
}

/** The kernel's command line of a cold boot. `verbose` keeps boot messages on the console, for the probe. */
export function kernelCommandLine(machine: MachineSpec, options: { verbose: boolean }): string {
  const words = [
    "console=ttyS0",
    options.verbose ? "loglevel=7" : "quiet",
    // A panic or a poweroff ends QEMU (it runs with -no-reboot).
    "panic=-1",
    "reboot=t",
    "random.trust_cpu=on",
    "8250.nr_uarts=1",
    "i8042.noaux",
    "audit=0",
    "nowatchdog",
    // Work at every switch and start of a process that nothing in a sandbox asks for.
    "psi=0",
    "noautogroup",
    "lsm=landlock,yama",
  ];
  if (machine.accelerator.name === "tcg") {
    // Emulation does not speculate, so the mitigations only cost.
    words.push("mitigations=off");
    // QEMU's software TLB forgets everything when a mapping larger than 4 KiB changes, and the kernel's search for
    // such mappings is work and memory of an idle guest.
    words.push("transparent_hugepage=never");
    // The kernel's hardening against its own bugs: pages and objects zeroed before use, stacks at random offsets, copies
    // checked. All of it is code for every call and page of an emulated guest, whose kernel guards nothing of the host's.
    words.push("init_on_alloc=0", "randomize_kstack_offset=off", "hardened_usercopy=off");
    // One sandbox in some 1,700 panicked with bits in its flags that no code had set ("double fault"). QEMU of those days
    // may keep flags from a stale state in this instruction, with which the kernel allocates all of its memory; it can do
    // without. Programs still see it. (The cause is a suspicion: such panics are too rare to prove one by their absence.)
    words.push("clearcpuid=cx16");
    // QEMU translates code again at each new address, so with random ones every process pays for all of its libraries
    // anew (an exec of `true`: 24 ms instead of 10). The boundary is the machine; `sudo sysctl` brings them back.
    words.push("norandmaps");
    // The kernel hands these to the agent as environment. All CPUs of an emulated machine take turns on one thread, and
    // its slow first steps make Go interrupt goroutines that have hardly begun.
    words.push("GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1");
    // The counter is QEMU's clock and as steady. A guest that checks it against a timer of a host under load distrusts
    // it, falls back to counting ticks, and then never sleeps (4 % of a core instead of 0.3).
    words.push("tsc=reliable");
    // Under load the guest fails to measure its counter against an emulated timer, about one boot in six, and hangs.
    if (machine.accelerator.tscKhz !== null) words.push(`tsc_early_khz=${machine.accelerator.tscKhz}`);
  }
  return words.join(" ");
}

function acceleratorOption(machine: MachineSpec): string {
  // With one thread a CPU, TCG of at least QEMU 7.2 can execute a stale breakpoint while the other CPU patches kernel
  // code ("Oops: int3", one boot in 26 here). In turns on one thread, code patching is as atomic as the kernel expects.
  return machine.accelerator.name === "tcg" ? `tcg,thread=single,tb-size=${TCG_BUFFER_MIB}` : "kvm";
}

function memoryBackend(input: QemuArgsInput): Record<string, unknown> {
  const base = { id: "ram", size: input.machine.memoryBytes };
  if (input.memoryPath === null) return { "qom-type": "memory-backend-ram", ...base };
  const shared = input.mode.kind === "boot" && input.mode.shareMemory;
  const file = { "qom-type": "memory-backend-file", ...base, "mem-path": input.memoryPath, share: shared };
  return input.readOnlyTemplate && !shared ? { ...file, readonly: true, rom: "off" } : file;
}

/**
 * All of the guest's network is a socket to the supervisor: QEMU itself routes nothing and opens nothing. More room in
 * the ring, since one of the guest's large frames takes many of its buffers.
 */
function networkArguments(): string[][] {
  const netdev = `stream,id=network,server=off,addr.type=fd,addr.str=${QEMU_FD.network}`;
  // A restored card that could announce itself, and is told to do so zero times (qmp.ts), has no timer for it: QEMU 7.2
  // falls over that when the guest resets the card, as it does when it shuts down.
  const device = `virtio-net-device,netdev=network,mac=${GUEST_MAC},rx_queue_size=1024,guest_announce=off`;
  return [
    ["-netdev", netdev],
    ["-device", device],
  ];
}

function diskArguments(layers: DiskLayer[], writes: DiskWrites): string[][] {
  // A sandbox's writes are gone with it: nothing is worth waiting for the host's disk.
  const cache = writes === "discarded" ? { cache: { "no-flush": true } } : {};
  const rows = layers.map((layer, index) => {
    const top = index === layers.length - 1;
    const backing = layer.format === "raw" ? {} : { backing: index === 0 ? null : nodeName(index - 1, false) };
    const node = {
      driver: layer.format,
      "node-name": nodeName(index, top),
      "read-only": !top,
      ...(top ? { discard: "unmap" } : {}),
      ...backing,
      file: {
        driver: "file",
        filename: layer.path,
        // The one on top says nothing: it becomes read-only with its node, when that is frozen by a snapshot.
        ...(top ? { ...cache, discard: "unmap" } : { "read-only": true, locking: "off" }),
      },
      ...(top ? cache : {}),
    };
    return ["-blockdev", JSON.stringify(node)];
  });
  // A full host disk pauses the guest instead of failing its writes; the supervisor resumes it when there is room.
  const device = "virtio-blk-device,id=root,drive=root,werror=stop,rerror=report,discard=on,write-zeroes=on";
  return [...rows, ["-device", device]];
}

function nodeName(index: number, top: boolean): string {
  return top ? "root" : `layer${index}`;
}
