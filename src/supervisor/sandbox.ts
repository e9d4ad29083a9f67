/**
 * One sandbox from start to end: finds or starts its machine, and hands both to the service. Whatever ends it,
 * a signal or the death of the command that makes it, does so from the first moment on.
 */
import { rm } from "node:fs/promises";
import type { SandboxLaunch } from "../protocol/launch.ts";
import { SbxError } from "../runtime/errors.ts";
import type { StopReason } from "../runtime/types.ts";
import { adoptMachine } from "../vm/prestarted-machine.ts";
import { layerPath, machineOptions } from "../vm/restore-options.ts";
import { startMachine, type VirtualMachine } from "../vm/virtual-machine.ts";
import type { LaunchChannel } from "./launch-channel.ts";
import type { SandboxService } from "./sandbox-service.ts";

/** A restored guest answers in a tenth of a second; a machine with forty of them starting at once takes longer. */
const RESTORE_DEADLINE_MS = 60_000;
/** A boot takes two seconds, or as much longer as the host is slower or busier. */
const BOOT_DEADLINE_MS = 120_000;

/**
 * Runs the sandbox until it ends. Returns when everything is cleaned up.
 *
 * @throws SbxError when it could not be started; nothing is left then
 */
export async function runSandbox(launch: SandboxLaunch, channel: LaunchChannel): Promise<void> {
  const starting = new AbortController();
  let service: SandboxService | undefined;
  const end = (reason: StopReason, detail: string): void => {
    if (service !== undefined) void service.stop(reason, detail);
    else starting.abort(new SbxError("aborted", `the start was given up: ${detail}`));
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => end("killed", `the supervisor got ${signal}`));
  }
  void channel.waitForCommit().then(async (committed) => {
    if (committed) {
      service?.keep();
      await channel.close();
    } else end("session_ended", "the command that made it ended too early");
  });
  let vm: VirtualMachine | undefined;
  try {
    vm = launch.prestarted
      ? adoptMachine()
      : await startMachine(machineOptions(launch), { waits: launch.held !== undefined });
    if (vm === undefined) throw new SbxError("internal", "the supervisor was started without its machine");
    starting.signal.throwIfAborted();
    // Everything else loads while QEMU starts.
    const { serveSandbox } = await import("./sandbox-service.ts");
    service = await serveSandbox({
      ...{ launch, vm, signal: starting.signal },
      deadlineMs: launch.start.kind === "boot" ? BOOT_DEADLINE_MS : RESTORE_DEADLINE_MS,
      doorOpen: () => channel.answer({ type: "door" }),
    });
  } catch (error) {
    await vm?.stop();
    await rm(layerPath(launch.directory), { force: true });
    throw error;
  }
  if (starting.signal.aborted) await service.stop("session_ended", (starting.signal.reason as Error).message);
  channel.answer({ type: "ready", info: service.info() });
  await service.stopped;
}
