/**
 * How a supervisor is started: one JSON line on its standard input, and JSON lines back on descriptor 3. Both ends are
 * the same version of sbx (the version is checked), so the types need no further parsing; nothing secret travels here.
 *
 * After `ready` the launcher writes the line `commit`. Until then the end of standard input means that the launcher
 * died, and the supervisor takes everything down again.
 */
import type { ErrorRecord } from "../runtime/errors.ts";
import type { DiskLayerRecord, HeldVolume, VolumeAttachment } from "./disk-calls.ts";
import type { FolderLaunch } from "./folder-launch.ts";
import type { EgressLaunch } from "./net-launch.ts";
import type { NetworkPast } from "./network-past.ts";
import type { ResolvedSpecRecord } from "./sandbox-record.ts";

export const LAUNCH_VERSION = 2;
/** Descriptor of the supervisor's answers. */
export const ANSWER_FD = 3;
export const COMMIT_LINE = "commit";
/** Longest line either way, `bytes`. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** Programs and machine, as found by the launcher. */
export interface LaunchMachine {
  qemu: { path: string; version: string; major: number; minor: number };
  tools: { bubblewrap: string | null; prlimit: string | null; setpriv: string | null };
  machine: {
    accelerator: { name: "kvm" | "tcg"; cpuModel: string; tscKhz: number | null };
    memoryBytes: number;
    cpus: number;
  };
  diskBytes: number;
}

/** Kernel and initial file system of a cold boot. */
export interface LaunchBoot {
  kernelPath: string;
  initrdPath: string;
}

/** Directories and files of a runtime, absolute (runtime/local/paths.ts). */
export interface LaunchHome {
  imageDataPath: string;
  dataPath: string;
  statePath: string;
  verdictPath: string;
  socketsPath: string;
}

export interface SandboxLaunch extends LaunchMachine {
  kind: "sandbox";
  version: typeof LAUNCH_VERSION;
  id: string;
  name: string | null;
  createdAt: number;
  directory: string;
  socketPath: string;
  databasePath: string;
  /** Where the files of volumes and snapshots lie. */
  layersPath: string;
  /** The root disk's chain. The last layer is the one that the sandbox writes to; the others never change. */
  rootLayers: DiskLayerRecord[];
  /** `kept`: the last layer is the head of a bootable volume, and what the guest flushes has to reach the host's disk. */
  rootWrites: "discarded" | "kept";
  /** From a saved machine (a template's or a checkpoint's), or by a boot. */
  start: { kind: "restore"; memoryPath: string; statePath: string } | { kind: "boot"; boot: LaunchBoot };
  /** Attached and mounted before the guest is served. They are claimed for this sandbox in the database already. */
  volumes: VolumeAttachment[];
  /** Those that a copied machine's guest has mounted already, claimed as well. Such a machine is not prestarted. */
  held?: HeldVolume[];
  spec: ResolvedSpecRecord;
  /** A session ends with the connection that presents the token. */
  lifetime: { kind: "session"; token: string } | { kind: "duration"; ms: number };
  env: Record<string, string>;
  egress: EgressLaunch;
  /** Where the runtime that starts it keeps things, for programs that the supervisor starts. */
  home?: LaunchHome;
  /** What the guest remembers, where it is a copy of a running machine. */
  past?: NetworkPast;
  /** Absent for a sandbox without any. */
  folders?: FolderLaunch;
  hostname: string;
  /** Whether the machine was started along with the supervisor. Only one that is restored is. */
  prestarted: boolean;
}

export interface TemplateLaunch extends LaunchMachine {
  kind: "template";
  version: typeof LAUNCH_VERSION;
  /** A directory to fill; the launcher renames it when it is complete. */
  directory: string;
  key: string;
  imageId: string;
  /** Names what the machine boots from; its content never changes. */
  rootId: string;
  /** What the template's own layer stands on: the image's root file system, or a snapshot's chain. */
  rootLayers: DiskLayerRecord[];
  boot: LaunchBoot;
}

export type Launch = SandboxLaunch | TemplateLaunch;

export type LaunchAnswer =
  | { type: "progress"; message: string }
  /** Clients may connect to the sandbox's socket; they are served after `ready`. */
  | { type: "door" }
  /** `info` is the sandbox's (the runtime's SandboxInfo), `null` for a template. */
  | { type: "ready"; info: object | null }
  | { type: "failed"; error: ErrorRecord };
