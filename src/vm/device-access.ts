/**
 * How QEMU's own account comes to a device node such as `/dev/kvm` when sbx runs as root. Where everybody may use it
 * nothing is needed; where a group may, QEMU joins it; where only root may, it gets a node of its own for the same
 * device, in a directory of the sandbox. (Group 0 is never joined: it opens more than the device.)
 */
import { execFile } from "node:child_process";
import { chown, rm, stat } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { SbxError } from "../runtime/errors.ts";

const run = promisify(execFile);

/** Read and write, for others and for the group. */
const OTHERS_MAY = 0o006;
const GROUP_MAY = 0o060;

export interface DeviceAccess {
  /** The node to show in the jail. */
  hostPath: string;
  groups: number[];
}

export type AccessPlan = { kind: "open" } | { kind: "group"; gid: number } | { kind: "node" };

/** What an account without rights needs to open a device with this owner group and mode. */
export function planAccess({ mode, gid }: { mode: number; gid: number }): AccessPlan {
  if ((mode & OTHERS_MAY) === OTHERS_MAY) return { kind: "open" };
  if ((mode & GROUP_MAY) === GROUP_MAY && gid !== 0) return { kind: "group", gid };
  return { kind: "node" };
}

/**
 * Lets `uid` open a character device. A node that has to be made lies in `directory` and goes with it.
 *
 * @throws SbxError `vm_start_failed` when the host allows no such node
 */
export async function grantDevice(device: string, uid: number, directory: string): Promise<DeviceAccess> {
  const { mode, gid, rdev } = await stat(device);
  const plan = planAccess({ mode, gid });
  if (plan.kind === "open") return { hostPath: device, groups: [] };
  if (plan.kind === "group") return { hostPath: device, groups: [plan.gid] };
  const hostPath = path.join(directory, path.basename(device));
  try {
    await rm(hostPath, { force: true });
    await run("mknod", ["-m", "600", hostPath, "c", String(majorOf(rdev)), String(minorOf(rdev))]);
    await chown(hostPath, uid, uid);
  } catch (cause) {
    const access = (mode & 0o777).toString(8).padStart(4, "0");
    throw new SbxError(
      "vm_start_failed",
      `${device} (mode ${access}) is closed to the account without rights that QEMU runs under, and it cannot be given a node of its own`,
      { cause, hint: `groupadd --system kvm; chgrp kvm ${device}; chmod 660 ${device}` },
    );
  }
  return { hostPath, groups: [] };
}

/** makedev(3): 12 bits of the major number from bit 8; 8 bits of the minor from bit 0, the others from bit 20. */
function majorOf(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}

function minorOf(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}
