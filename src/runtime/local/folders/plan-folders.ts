/**
 * What of the host a new sandbox is to have, checked before anything is made: that it is there, and that it is nothing
 * that a guest should never have. The paths are the user's own.
 */
import { realpathSync, type Stats, statSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import type { FolderLaunch, FolderMountRecord } from "../../../protocol/folder-launch.ts";
import { SbxError } from "../../errors.ts";
import { type CopySpec, DEFAULT_MOUNT_QUOTA, type MountSpec } from "../../folder-spec.ts";
import type { StatePaths } from "../paths.ts";

/** A copy with its host's path resolved. */
export interface PlannedCopy {
  hostPath: string;
  isDirectory: boolean;
  /** What the copy is in the guest. */
  guestPath: string;
  /** The directory that it is put into. */
  guestParent: string;
}

export interface FolderPlan {
  launch: FolderLaunch;
  copies: readonly PlannedCopy[];
  /** What a person should know. */
  notices: readonly string[];
}

export interface FolderWish {
  copies?: readonly CopySpec[];
  mounts?: readonly MountSpec[];
}

const MAX_MOUNTS = 16;
const MAX_COPIES = 64;
const MAX_GUEST_PATH_BYTES = 1024;
/** Directories of a system: what a guest writes there is run by root some day. */
const SYSTEM_DIRECTORIES =
  "/bin /boot /dev /etc /home /lib /lib32 /lib64 /opt /proc /root /run /sbin /srv /sys /tmp /usr /var".split(" ");
/** File systems of the kernel: nothing below them is a file. */
const KERNEL_DIRECTORIES = ["/dev", "/proc", "/sys"];
/** Of the guest: without these it does not work. */
const GUEST_KERNEL_DIRECTORIES = ["/dev", "/proc", "/sys"];
const OTHERS_WRITE = 0o002;

/** @throws SbxError `folder_refused`, `file_error`, `usage` */
export function planFolders(wish: FolderWish, paths: StatePaths, env: NodeJS.ProcessEnv = process.env): FolderPlan {
  const { copies = [], mounts = [] } = wish;
  if (mounts.length > MAX_MOUNTS) throw new SbxError("usage", `a sandbox has up to ${MAX_MOUNTS} mounts`);
  if (copies.length > MAX_COPIES) throw new SbxError("usage", `a sandbox gets up to ${MAX_COPIES} copies`);
  const own = [paths.dataPath, paths.statePath, paths.socketsPath];
  const notices: string[] = [];
  const plannedMounts = mounts.map((mount) => planMount(mount, { own, home: env.HOME ?? homedir(), notices }));
  const plannedCopies = copies.map((copy) => planCopy(copy, own));
  checkPlaces(plannedMounts, plannedCopies);
  checkWriters(plannedMounts);
  plannedMounts.sort((a, b) => depth(a.guestPath) - depth(b.guestPath));
  const places = new Set(plannedCopies.map((copy) => (copy.isDirectory ? copy.guestPath : copy.guestParent)));
  return {
    launch: { mounts: plannedMounts, places: [...places], forbiddenPaths: own },
    copies: plannedCopies,
    notices,
  };
}

function planCopy({ hostPath, guestPath: wished, placement }: CopySpec, own: readonly string[]): PlannedCopy {
  const given = checkGuestPath(wished);
  const { real, stats } = resolveHost(hostPath, "copied");
  const directory = ownWithin(real, own);
  // Stored secrets are in there.
  if (directory !== undefined) throw refused(hostPath, "copied", `sbx keeps its own state in ${directory}`);
  if (!stats.isDirectory() && !stats.isFile()) {
    throw new SbxError("file_error", `'${hostPath}' is neither a file nor a directory`);
  }
  // The name that the user wrote, not that of what a link leads to.
  const guestPath = placement === "into" ? path.posix.join(given, path.basename(path.resolve(hostPath))) : given;
  if (guestPath === "/") throw new SbxError("usage", "a copy cannot take the place of the sandbox's root directory");
  return { hostPath: real, isDirectory: stats.isDirectory(), guestPath, guestParent: path.posix.dirname(guestPath) };
}

function planMount(
  { hostPath, guestPath: wished, access, quota }: MountSpec,
  { own, home, notices }: { own: readonly string[]; home: string; notices: string[] },
): FolderMountRecord {
  if (process.platform !== "linux") {
    throw new SbxError("unsupported", "live mounts need Linux on this side", { hint: `sbx create --copy ${hostPath}` });
  }
  const guestPath = checkGuestPath(wished);
  if (guestPath === "/") throw refused(hostPath, "mounted", "it cannot take the place of the sandbox's root directory");
  const { real, stats } = resolveHost(hostPath, "mounted");
  if (!stats.isDirectory()) throw new SbxError("file_error", `'${hostPath}' is not a directory, and cannot be mounted`);
  checkMountable(real, { hostPath, own, home });
  notices.push(...ownershipNotices(real, stats, access));
  const limits = { ...DEFAULT_MOUNT_QUOTA, ...quota };
  return { hostPath: real, guestPath, readOnly: access === "read-only", quota: limits };
}

function checkMountable(
  real: string,
  { hostPath, own, home }: { hostPath: string; own: readonly string[]; home: string },
): void {
  if (real === "/" || SYSTEM_DIRECTORIES.includes(real))
    throw refused(hostPath, "mounted", `${real} is a directory of the system`);
  const kernel = KERNEL_DIRECTORIES.find((directory) => isWithin(real, directory));
  if (kernel !== undefined) throw refused(hostPath, "mounted", `${kernel} belongs to the kernel`);
  if (isWithin(realOr(home), real))
    throw refused(hostPath, "mounted", "your home directory is in it, with all its keys");
  const directory = ownWithin(real, own);
  if (directory !== undefined) throw refused(hostPath, "mounted", `sbx keeps its own state in ${directory}`);
}

/** One of sbx's own directories that a path is in, or that is in it. */
function ownWithin(real: string, own: readonly string[]): string | undefined {
  return own.map(realOr).find((directory) => isWithin(directory, real) || isWithin(real, directory));
}

function ownershipNotices(real: string, { uid, mode }: Stats, access: MountSpec["access"]): string[] {
  const notices: string[] = [];
  if (uid !== process.getuid?.()) notices.push(`${real} belongs to another account of this machine`);
  else if (access === "read-write" && (mode & OTHERS_WRITE) !== 0) {
    notices.push(`${real} can be written to by every account of this machine`);
  }
  return notices;
}

/** What one of them takes would be counted by two quotas, and given back by both. */
function checkWriters(mounts: readonly FolderMountRecord[]): void {
  const writable = mounts.filter(({ readOnly }) => !readOnly).map(({ hostPath }) => hostPath);
  for (const [index, one] of writable.entries()) {
    const other = writable.slice(index + 1).find((path) => isWithin(path, one) || isWithin(one, path));
    if (other !== undefined) throw new SbxError("usage", `'${one}' and '${other}' overlap, and both would be writable`);
  }
}

/** No two of them in one place, and no mount where something is to be copied. */
function checkPlaces(mounts: readonly FolderMountRecord[], copies: readonly PlannedCopy[]): void {
  const taken = new Set<string>();
  for (const { guestPath } of [...mounts, ...copies]) {
    if (taken.has(guestPath)) throw new SbxError("usage", `two things cannot both be '${guestPath}' in the sandbox`);
    taken.add(guestPath);
  }
  for (const copy of copies) {
    const mount = mounts.find(({ guestPath }) => isWithin(copy.guestPath, guestPath));
    if (mount === undefined) continue;
    const message = `'${copy.hostPath}' would be copied into the mount of '${mount.hostPath}', and with that onto this machine`;
    throw new SbxError("usage", message);
  }
}

/** @throws SbxError `usage` */
function checkGuestPath(guestPath: string): string {
  const clean = path.posix.normalize(guestPath).replace(/(?<=.)\/$/, "");
  if (!path.posix.isAbsolute(guestPath) || guestPath.includes("\0") || guestPath.split("/").includes("..")) {
    throw new SbxError("usage", `${JSON.stringify(guestPath)} is not an absolute path in the sandbox`);
  }
  if (Buffer.byteLength(clean) > MAX_GUEST_PATH_BYTES)
    throw new SbxError("usage", "the path in the sandbox is too long");
  const kernel = GUEST_KERNEL_DIRECTORIES.find((directory) => isWithin(clean, directory));
  if (kernel !== undefined)
    throw new SbxError("usage", `'${clean}' is in ${kernel}, which belongs to the sandbox's kernel`);
  return clean;
}

function resolveHost(hostPath: string, verb: string): { real: string; stats: Stats } {
  try {
    const real = realpathSync(hostPath);
    return { real, stats: statSync(real) };
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "no such file or directory" : code === "EACCES" ? "permission denied" : code;
    throw new SbxError("file_error", `'${hostPath}' cannot be ${verb}: ${why ?? String(cause)}`, { cause });
  }
}

function realOr(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    // Not there yet: nothing of it can be shared.
    return directory;
  }
}

function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer.endsWith("/") ? outer : `${outer}/`);
}

function depth(guestPath: string): number {
  return guestPath.split("/").length;
}

function refused(hostPath: string, verb: "mounted" | "copied", why: string): SbxError {
  return new SbxError("folder_refused", `'${hostPath}' is not ${verb}: ${why}`, {
    hint: "name a directory that holds only what the sandbox needs",
  });
}
