/** A sandbox's machine: restored from a saved one, or booted. */
import path from "node:path";
import { unprivilegedUid, type StartOptions } from "./machine-plan.ts";
import type { DiskLayer } from "./machine-spec.ts";
import { kernelCommandLine } from "./qemu-args.ts";

type SandboxMachine = Pick<StartOptions, "qemu" | "tools" | "machine" | "diskBytes"> & {
  id: string;
  rootLayers: DiskLayer[];
  rootWrites: "discarded" | "kept";
  start:
    | { kind: "restore"; memoryPath: string; statePath: string }
    | { kind: "boot"; boot: { kernelPath: string; initrdPath: string } };
};

/** The layer that a sandbox writes to, unless its root is a volume. */
export function layerPath(directory: string): string {
  return path.join(directory, "disk.qcow2");
}

/** @param launch its layers must be there when the machine starts */
export function machineOptions(launch: SandboxMachine): StartOptions {
  const { qemu, tools, machine, diskBytes, start } = launch;
  return {
    ...{ qemu, tools, machine, diskBytes },
    name: launch.id,
    mode:
      start.kind === "restore"
        ? { kind: "restore", statePath: start.statePath }
        : {
            kind: "boot",
            boot: start.boot,
            commandLine: kernelCommandLine(machine, { verbose: false }),
            shareMemory: false,
          },
    memoryPath: start.kind === "restore" ? start.memoryPath : null,
    disk: launch.rootLayers,
    diskWrites: launch.rootWrites,
    network: true,
    exchangePath: null,
    uid: unprivilegedUid(),
  };
}
