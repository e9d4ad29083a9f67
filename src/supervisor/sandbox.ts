/**
 * One sandbox from start to end: composes the VM, the agent link, the RPC and the lifetime. Every way to end it goes
 * through {@link SandboxRun.stop}, once.
 */
import { copyFile, mkdir } from "node:fs/promises";
import path from "node:path";
import type { SandboxLaunch } from "../protocol/launch.ts";
import type { StopReason } from "../runtime/types.ts";
import { startMachine, unprivilegedUid, type VirtualMachine } from "../vm/virtual-machine.ts";
import type { LaunchChannel } from "./launch-channel.ts";

/** A restored guest answers in a tenth of a second; a machine with forty of them starting at once takes longer. */
const RESTORE_DEADLINE_MS = 60_000;

/**
 * Runs the sandbox until it ends. Returns when everything is cleaned up.
 *
 * @throws SbxError when it could not be started; nothing is left then
 */
export async function runSandbox(launch: SandboxLaunch, channel: LaunchChannel): Promise<void> {
  const layerPath = path.join(launch.directory, "disk.qcow2");
  await mkdir(launch.directory, { recursive: true, mode: 0o700 });
  await copyFile(launch.template.emptyLayerPath, layerPath);
  const vm = await restoreMachine(launch, layerPath);
  // Everything else loads while QEMU starts.
  const { serveSandbox } = await import("./sandbox-service.ts");
  const service = await serveSandbox({ launch, vm, deadlineMs: RESTORE_DEADLINE_MS });
  void abandonment(channel).then((reason) => {
    if (reason !== null) void service.stop(reason, "the command that made it ended too early");
  });
  channel.answer({ type: "ready" });
  await service.stopped;
}

/** Why the sandbox must go again although it just started; null once the launcher has taken over. */
async function abandonment(channel: LaunchChannel): Promise<StopReason | null> {
  const committed = await channel.waitForCommit();
  await channel.close();
  return committed ? null : "session_ended";
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
