/**
 * One QEMU process and the connections to it. They are socket pairs that QEMU inherits, so there is no path to find,
 * guess or leave behind, and all of them end with either side.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { open } from "node:fs/promises";
import type { Duplex, Readable } from "node:stream";
import { SbxError } from "../runtime/errors.ts";
import { planMachine, type StartOptions } from "./machine-plan.ts";
import { QEMU_FD } from "./qemu-args.ts";
import { ignoreShared, Qmp, withoutAnnouncement } from "./qmp.ts";

/** How long after QEMU's end its complaints and the guest's last words on the console are waited for, `ms`. */
const LAST_WORDS_MS = 200;

const NOW = { waits: false };

export interface VmExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface VirtualMachine extends AsyncDisposable {
  /** The outermost process; QEMU is it or a descendant of it. */
  readonly pid: number;
  readonly qmp: Qmp;
  readonly agentSocket: Duplex;
  /** The other end of the guest's network card; `null` without one. Frames, each behind its length (4 bytes, big-endian). */
  readonly networkLink: Duplex | { fd: number } | null;
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

/**
 * Starts QEMU in its jail. Returns as soon as the process runs; it may still end for a reason that only
 * `errorOutput` tells.
 *
 * @param how `waits`: a restore waits for {@link beginRestore}
 * @throws SbxError `vm_start_failed` when the process could not be started
 */
export async function startMachine(options: StartOptions, how: { waits: boolean } = NOW): Promise<VirtualMachine> {
  const plan = await planMachine(options);
  const state = options.mode.kind === "restore" ? await open(options.mode.statePath, "r") : null;
  try {
    const child = spawn(plan.command[0], plan.command.slice(1), {
      stdio: [
        ...(["ignore", "pipe", "pipe", "pipe", "pipe"] as const),
        state === null ? "ignore" : state.fd,
        "ignore",
        options.network ? "pipe" : "ignore",
      ],
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
      // A process group of its own: a terminal's Ctrl-C is sbx's to act on, and stop() ends the group.
      detached: true,
    });
    const vm = await attach(child, plan.exchangePath);
    allowTemplates(vm);
    if (options.mode.kind === "restore" && !how.waits) beginRestore(vm);
    return vm;
  } finally {
    await state?.close();
  }
}

/** What goes wrong shows in QEMU's exit. */
function ignore(): void {}

/** A restore waits for these commands. */
function allowTemplates(vm: VirtualMachine): void {
  const { execute, arguments: capabilities } = ignoreShared();
  vm.qmp.execute(execute, capabilities).catch(ignore);
  const quiet = withoutAnnouncement();
  vm.qmp.execute(quiet.execute, quiet.arguments).catch(ignore);
}

/** Restores a machine that was started to wait for it: it has by now what the saved one had attached. */
export function beginRestore(vm: VirtualMachine): void {
  vm.qmp.execute("migrate-incoming", { uri: `fd:${QEMU_FD.state}` }).catch(ignore);
}

/** @param leader process group of a machine */
export function killGroup(leader: number): void {
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
  // Typed as a tuple of five; there are as many as were asked for.
  const networkLink = (child.stdio as (Duplex | null)[])[QEMU_FD.network] ?? null;
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
    networkLink,
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
