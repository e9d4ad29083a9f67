/** A sandbox's machine: its template, restored on a disk layer of its own. */
import path from "node:path";
import { unprivilegedUid, type StartOptions } from "./machine-plan.ts";

type RestoreSpec = Pick<StartOptions, "qemu" | "tools" | "machine" | "diskBytes"> & {
  directory: string;
  imageRootPath: string;
  template: { memoryPath: string; statePath: string; diskPath: string };
};

/** The layer that a sandbox writes to. */
export function layerPath(directory: string): string {
  return path.join(directory, "disk.qcow2");
}

/** @param spec a launch; its layer must be there when the machine starts */
export function restoreOptions(spec: RestoreSpec): StartOptions {
  const { qemu, tools, machine, diskBytes, template } = spec;
  return {
    ...{ qemu, tools, machine, diskBytes },
    mode: { kind: "restore", statePath: template.statePath },
    memoryPath: template.memoryPath,
    disk: [
      { path: spec.imageRootPath, format: "raw" },
      { path: template.diskPath, format: "qcow2" },
      { path: layerPath(spec.directory), format: "qcow2" },
    ],
    network: true,
    exchangePath: null,
    uid: unprivilegedUid(),
  };
}
