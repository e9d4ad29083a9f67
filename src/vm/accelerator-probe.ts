/**
 * Finds out by booting how this host can run guests. That `/dev/kvm` is there proves nothing: under some nested
 * hypervisors a stock kernel never gets up on it. The probe boots the image's own kernel until the agent says it is
 * ready, with a deadline.
 */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { SbxError } from "../runtime/errors.ts";
import type { Accelerator, AcceleratorName, BootFiles, DiskLayer, MachineSpec } from "./machine-spec.ts";
import { kernelCommandLine } from "./qemu-args.ts";
import type { QemuBinary } from "./qemu-binary.ts";
import type { JailTools } from "./jail.ts";
import { unprivilegedUid } from "./machine-plan.ts";
import { startMachine, type VirtualMachine } from "./virtual-machine.ts";

/** A healthy KVM guest is up in about a second. */
const KVM_DEADLINE_MS = 10_000;
/** Emulated, on a loaded machine, two seconds can become twenty. */
const TCG_DEADLINE_MS = 60_000;
/** Without a measured clock, a boot under load often cannot find its own and hangs at once. */
const TCG_ATTEMPTS = 8;
const MAX_CONSOLE_BYTES = 256 * 1024;
const PROBE_MEMORY_BYTES = 512 * 1024 ** 2;

/** What the agent writes to the console when it can be talked to, and what the kernel says of its clock. */
const READY = "sbx-agent: ready";
const CLOCK_LOST = "Marking TSC unstable";

/** x86-64-v2 without AVX, which costs more in emulation than it saves; ARAT lets an idle guest stop its timer tick. */
const TCG_CPU = "qemu64,+arat,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+rdrand";
/** `max` under KVM can fail on a model-specific register; the host's model without this bit does not. */
const KVM_CPU = "host,-arch-capabilities";

export interface ProbeOptions {
  qemu: QemuBinary;
  tools: JailTools;
  boot: BootFiles;
  /** A writable scratch layer over the image's root file system. */
  disk: DiskLayer[];
  diskBytes: number;
  /** Frequency of the host's time-stamp counter, `kHz`, or `null` where there is none to tell the guest. */
  tscKhz: number | null;
  /** Restricts the search; `auto` tries KVM, then TCG. */
  wanted: "auto" | AcceleratorName;
  signal?: AbortSignal;
  onProgress?: (message: string) => void;
}

export interface ProbeVerdict {
  accelerator: Accelerator;
  /** One sentence for `sbx doctor`: what was tried and what came of it. */
  reason: string;
}

/** @throws SbxError `vm_start_failed` when no accelerator brings a guest up */
export async function probeAccelerator(options: ProbeOptions): Promise<ProbeVerdict> {
  const refused: string[] = [];
  if (options.wanted !== "tcg") {
    const obstacle = await kvmObstacle();
    if (obstacle === null) {
      options.onProgress?.("trying KVM");
      const outcome = await tryKvm(options);
      if (outcome.ready) return { accelerator: candidate("kvm"), reason: "KVM works: a guest booted with it" };
      refused.push(`KVM is there, but ${outcome.why}`);
    } else {
      refused.push(obstacle);
    }
  }
  if (options.wanted === "kvm") {
    throw new SbxError("vm_start_failed", `KVM was asked for: ${refused.join("; ")}`, {
      hint: "sbx config unset accelerator",
    });
  }
  options.onProgress?.("trying emulation (TCG)");
  const accelerator = await probeTcg(options);
  return { accelerator, reason: [...refused, "emulation (TCG) works"].join("; ") };
}

/** Whatever keeps KVM from working is a reason to emulate, not a failure. */
async function tryKvm(options: ProbeOptions): Promise<Outcome> {
  try {
    return await tryBoot(options, candidate("kvm"), KVM_DEADLINE_MS);
  } catch (error) {
    if (options.signal?.aborted === true || !(error instanceof SbxError)) throw error;
    return { ready: false, why: error.message, again: false };
  }
}

async function probeTcg(options: ProbeOptions): Promise<Accelerator> {
  const accelerator = { ...candidate("tcg"), tscKhz: options.tscKhz };
  let why = "";
  for (let attempt = 0; attempt < TCG_ATTEMPTS; attempt += 1) {
    const outcome = await tryBoot(options, accelerator, TCG_DEADLINE_MS);
    if (outcome.ready) return accelerator;
    why = outcome.why;
    if (!outcome.again) break;
  }
  throw new SbxError("vm_start_failed", `no guest comes up on this machine: under emulation, ${why}`, {
    hint: "sbx doctor",
  });
}

function candidate(name: AcceleratorName): Accelerator {
  return { name, cpuModel: name === "kvm" ? KVM_CPU : TCG_CPU, tscKhz: null };
}

async function kvmObstacle(): Promise<string | null> {
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT"
      ? "there is no /dev/kvm"
      : "/dev/kvm may not be opened by this account (add it to the group `kvm`)";
  }
}

type Outcome = { ready: true } | { ready: false; why: string; again: boolean };

async function tryBoot(options: ProbeOptions, accelerator: Accelerator, deadlineMs: number): Promise<Outcome> {
  const machine: MachineSpec = { accelerator, memoryBytes: PROBE_MEMORY_BYTES, cpus: 2 };
  await using vm = await startMachine({
    name: "sbx-probe",
    diskWrites: "discarded",
    network: false,
    ...options,
    machine,
    mode: {
      kind: "boot",
      boot: options.boot,
      commandLine: kernelCommandLine(machine, { verbose: true }),
      shareMemory: false,
    },
    memoryPath: null,
    exchangePath: null,
    uid: unprivilegedUid(),
  });
  // Awaited here: the machine is stopped when this function is left.
  return await watchBoot(vm, deadlineMs, options.signal);
}

async function watchBoot(vm: VirtualMachine, deadlineMs: number, signal?: AbortSignal): Promise<Outcome> {
  vm.agentSocket.on("error", () => undefined); // nobody talks to the agent here
  let complaints = "";
  vm.errorOutput.setEncoding("utf8").on("data", (text: string) => (complaints = (complaints + text).slice(-500)));
  let consoleText = "";
  const seen = new Promise<Outcome>((resolve) => {
    vm.consoleOutput.setEncoding("utf8").on("data", (text: string) => {
      if (consoleText.length < MAX_CONSOLE_BYTES) consoleText += text;
      if (consoleText.includes(READY)) resolve({ ready: true });
      if (consoleText.includes(CLOCK_LOST))
        resolve({ ready: false, why: "the guest cannot measure its clock", again: true });
    });
  });
  const ended = vm.exited.then((): Outcome => {
    const words = complaints.trim().split("\n").at(-1) || consoleText.trim().split("\n").at(-1) || "it said nothing";
    return { ready: false, why: `QEMU ended: ${words}`, again: false };
  });
  return raceDeadline([seen, ended], deadlineMs, signal);
}

async function raceDeadline(outcomes: Promise<Outcome>[], deadlineMs: number, signal?: AbortSignal): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const why = `a guest did not come up within ${deadlineMs / 1000} s`;
  const timer = setTimeout(() => resolve({ ready: false, why, again: true }), deadlineMs);
  const onAbort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", onAbort);
  try {
    signal?.throwIfAborted();
    return await Promise.race([...outcomes, promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
