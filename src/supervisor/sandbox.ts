/**
 * One sandbox from start to end: copies its layer, starts its machine, and hands both to the service. Whatever ends it,
 * a signal or the death of the command that makes it, does so from the first moment on.
 */
import { copyFile, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import type { SandboxLaunch } from "../protocol/launch.ts";
import { SbxError } from "../runtime/errors.ts";
import type { StopReason } from "../runtime/types.ts";
import { startMachine, unprivilegedUid, type VirtualMachine } from "../vm/virtual-machine.ts";
import type { LaunchChannel } from "./launch-channel.ts";
import type { SandboxService } from "./sandbox-service.ts";

/** A restored guest answers in a tenth of a second; a machine with forty of them starting at once takes longer. */
const RESTORE_DEADLINE_MS = 60_000;

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
    if (committed) await channel.close();
    else end("session_ended", "the command that made it ended too early");
  });
  const layerPath = path.join(launch.directory, "disk.qcow2");
  await mkdir(launch.directory, { recursive: true, mode: 0o700 });
  let vm: VirtualMachine | undefined;
  try {
    await copyFile(launch.template.emptyLayerPath, layerPath);
    starting.signal.throwIfAborted();
    vm = await restoreMachine(launch, layerPath);
    // Everything else loads while QEMU starts.
    const { serveSandbox } = await import("./sandbox-service.ts");
    service = await serveSandbox({ launch, vm, deadlineMs: RESTORE_DEADLINE_MS, signal: starting.signal });
  } catch (error) {
    await vm?.stop();
    await rm(layerPath, { force: true });
    throw error;
  }
  if (starting.signal.aborted) await service.stop("session_ended", (starting.signal.reason as Error).message);
  channel.answer({ type: "ready" });
  await service.stopped;
}

async function restoreMachine(launch: SandboxLaunch, layerPath: string): Promise<VirtualMachine> {
  return startMachine({
    ...launch,
    mode: { kind: "restore", statePath: launch.template.statePath },
    memoryPath: launch.template.memoryPath,
    disk: [
      { path: launch.imageRootPath, format: "raw" },
      { path: launch.template.diskPath, format: "qcow2" },
      { path: layerPath, format: "qcow2" },
    ],
    exchangePath: null,
    uid: unprivilegedUid(),
  });
}
