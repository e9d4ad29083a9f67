/**
 * A machine that starts while its supervisor's Node does. `sbx-launch` (guest/cmd/sbx-launch) makes the sockets between
 * the two, starts the machine's process, and then becomes the supervisor, which finds the machine under its descriptors.
 *
 * The machine is a child that this Node does not know of: how it ended is told by bubblewrap, and that it ended by the
 * end of all that it held open.
 */
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { QEMU_FD } from "./qemu-args.ts";
import { Qmp } from "./qmp.ts";
import { killGroup, type VirtualMachine, type VmExit } from "./virtual-machine.ts";

/** Where the supervisor finds the machine; 0 to 3 are its own. */
const SUPERVISOR_FD = { monitor: 4, agent: 5, console: 6, errors: 7, status: 8, network: 9 } as const;

/** What is read of bubblewrap's report, `bytes`. */
const MAX_STATUS_LENGTH = 4096;

/** Descriptor of the machine's outermost process that takes bubblewrap's report. */
export const STATUS_FD = 6;

/**
 * The words for sbx-launch.
 *
 * @param greetingBytes how much of standard input is for the guest's agent; the rest is the supervisor's
 * @param machine command of the machine, planned with `statusFd` {@link STATUS_FD}
 * @param supervisor command of the supervisor
 */
export function prestartCommand(
  launcherPath: string,
  statePath: string,
  greetingBytes: number,
  machine: string[],
  supervisor: string[],
): [string, ...string[]] {
  const pair = (vm: number, own: number): string[] => ["--socket", `${vm}:${own}`];
  return [
    launcherPath,
    ...pair(QEMU_FD.monitor, SUPERVISOR_FD.monitor),
    ...pair(QEMU_FD.agent, SUPERVISOR_FD.agent),
    ...pair(1, SUPERVISOR_FD.console),
    ...pair(2, SUPERVISOR_FD.errors),
    ...pair(STATUS_FD, SUPERVISOR_FD.status),
    ...pair(QEMU_FD.network, SUPERVISOR_FD.network),
    ...["--file", `${QEMU_FD.state}:${statePath}`],
    // QEMU restores as soon as it reads this.
    ...["--say", `${QEMU_FD.monitor}:${Qmp.restoreCommands(`fd:${QEMU_FD.state}`)}`],
    ...["--input", `${QEMU_FD.agent}:${greetingBytes}`],
    String(machine.length),
    ...machine,
    ...supervisor,
  ];
}

/** The machine that was started along with this process; `undefined` if there is none. May be called once. */
export function adoptMachine(): VirtualMachine | undefined {
  // Set by sbx-launch.
  const pid = Number(process.env.SBX_VM_PID);
  delete process.env.SBX_VM_PID;
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const socket = (fd: number): Socket => new Socket({ fd, readable: true, writable: true });
  const consoleOutput = socket(SUPERVISOR_FD.console);
  const errorOutput = socket(SUPERVISOR_FD.errors);
  const exited = untilGone(socket(SUPERVISOR_FD.status), [consoleOutput, errorOutput]);
  let gone = false;
  void exited.then(() => (gone = true));
  const stop = async (): Promise<void> => {
    // Nobody reaps it before this process ends, so the number is not another's.
    if (!gone) killGroup(pid);
    await exited;
  };
  return {
    ...{ pid, consoleOutput, errorOutput, exited, stop },
    qmp: new Qmp(socket(SUPERVISOR_FD.monitor), { negotiated: true }),
    agentSocket: socket(SUPERVISOR_FD.agent),
    // Left to whoever reads it: a stream of Node's own would copy every packet once more.
    networkLink: { fd: SUPERVISOR_FD.network },
    exchangePath: null,
    [Symbol.asyncDispose]: stop,
  };
}

async function untilGone(status: Readable, outputs: Readable[]): Promise<VmExit> {
  let report = "";
  status.setEncoding("utf8");
  status.on("data", (text: string) => (report = (report + text).slice(0, MAX_STATUS_LENGTH)));
  await Promise.all([status, ...outputs].map(ended));
  const code = /"exit-code": *(\d{1,3})\b/.exec(report)?.[1];
  // Without a word of bubblewrap's: somebody killed it.
  return code === undefined ? { code: null, signal: "SIGKILL" } : { code: Number(code), signal: null };
}

async function ended(stream: Readable): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.on("error", () => resolve()).once("close", () => resolve());
    stream.once("end", () => resolve());
  });
}
