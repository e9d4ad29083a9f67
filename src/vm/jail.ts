/**
 * The jail around QEMU: a command line that wraps another one. Layers, from the outside: resource limits (prlimit),
 * bubblewrap (namespaces without network, only the named files), an account without rights (setpriv, when sbx is
 * root), and QEMU's own seccomp filter (qemu-args.ts). A missing tool removes a layer; `sbx doctor` says which.
 */
import path from "node:path";
import { findProgram } from "./qemu-binary.ts";

export interface JailTools {
  bubblewrap: string | null;
  prlimit: string | null;
  setpriv: string | null;
}

/** A file that QEMU may open, under the name it has inside the jail. */
export interface JailFile {
  hostPath: string;
  jailPath: string;
  writable: boolean;
}

export interface JailSpec {
  tools: JailTools;
  qemuPath: string;
  files: JailFile[];
  /** Device nodes, under the names they have inside. */
  devices: { hostPath: string; jailPath: string }[];
  /** Account for QEMU when sbx runs as root: a number of its own for each sandbox. */
  runAs: { uid: number; groups: number[] } | null;
  limits: { addressSpaceBytes: number; fileSizeBytes: number };
  /** Descriptor that bubblewrap writes the exit code to, as a line of JSON (bwrap(1), --json-status-fd). */
  statusFd?: number;
}

/**
 * glibc reserves 64 MiB of addresses for each thread's heap, and QEMU may have seventy threads: on a host with many
 * cores that alone would exceed the limit on addresses.
 */
const SMALL_HEAP = ["--setenv", "MALLOC_ARENA_MAX", "4"];

/** Processes and threads of QEMU's own account; it has one for each CPU and up to 64 for its disks. */
const MAX_TASKS = 1024;

/** Looks for the tools once. */
export async function findJailTools(): Promise<JailTools> {
  const [bubblewrap, prlimit, setpriv] = await Promise.all(["bwrap", "prlimit", "setpriv"].map((n) => findProgram(n)));
  return { bubblewrap: bubblewrap ?? null, prlimit: prlimit ?? null, setpriv: setpriv ?? null };
}

/** Whether QEMU will see the jail's paths (true) or the host's (false). */
export function hasPrivatePaths(tools: JailTools): boolean {
  return tools.bubblewrap !== null;
}

/** The whole argv: limits, namespaces, account, then `qemu`. */
export function jailedCommand(spec: JailSpec, qemuArguments: string[]): [string, ...string[]] {
  const words = [...limitWords(spec), ...namespaceWords(spec), ...accountWords(spec), spec.qemuPath, ...qemuArguments];
  return words as [string, ...string[]];
}

function limitWords({ tools, limits, runAs }: JailSpec): string[] {
  if (tools.prlimit === null) return [];
  return [
    tools.prlimit,
    // No core: it would hold the guest's memory.
    "--core=0",
    "--nofile=1024",
    // Counted by account: an ordinary user's own processes would count as well.
    ...(runAs === null ? [] : [`--nproc=${MAX_TASKS}`]),
    `--as=${limits.addressSpaceBytes}`,
    // The soft limit: it is raised for a larger disk that is attached later (file-size-limit.ts).
    `--fsize=${limits.fileSizeBytes}:`,
    "--",
  ];
}

function namespaceWords(spec: JailSpec): string[] {
  const { bubblewrap, setpriv } = spec.tools;
  if (bubblewrap === null) {
    // Without a PID namespace to die with, at least the parent's death must reach QEMU.
    return setpriv === null ? [] : [setpriv, "--pdeathsig", "KILL", "--"];
  }
  const words = [
    bubblewrap,
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
  ];
  // As root the mount namespace needs no user namespace, and the account is changed by setpriv further in.
  if (spec.runAs === null) words.push("--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL");
  words.push("--die-with-parent", "--new-session", "--clearenv", ...SMALL_HEAP, "--hostname", "sbx", "--chdir", "/");
  for (const directory of ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives"]) {
    words.push("--ro-bind-try", directory, directory);
  }
  words.push("--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/vm");
  if (spec.statusFd !== undefined) words.push("--json-status-fd", String(spec.statusFd));
  // After /tmp, where it may lie.
  const qemuDirectory = path.dirname(spec.qemuPath);
  if (!qemuDirectory.startsWith("/usr/") && qemuDirectory !== "/bin") {
    // Named one by one they can be entered by QEMU's account; those that bubblewrap adds by itself cannot.
    const steps = qemuDirectory.split("/").slice(1);
    steps.forEach((_, index) => words.push("--dir", `/${steps.slice(0, index + 1).join("/")}`));
    words.push("--ro-bind", spec.qemuPath, spec.qemuPath);
  }
  for (const { hostPath, jailPath } of spec.devices) words.push("--dev-bind-try", hostPath, jailPath);
  for (const file of spec.files) words.push(file.writable ? "--bind" : "--ro-bind", file.hostPath, file.jailPath);
  words.push("--");
  return words;
}

function accountWords({ runAs, tools }: JailSpec): string[] {
  if (runAs === null || tools.setpriv === null) return [];
  const groups = runAs.groups.length > 0 ? ["--groups", runAs.groups.join(",")] : ["--clear-groups"];
  return [
    tools.setpriv,
    ...["--reuid", String(runAs.uid), "--regid", String(runAs.uid), ...groups],
    ...["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "--"],
  ];
}
