/** Data that crosses the Runtime interface: plain values, no behaviour. Sizes are bytes, times are epoch ms. */
import type { Budget } from "../metering/budget.ts";
import type { PolicySpec } from "../policy/spec.ts";
import type { StopReason } from "../protocol/stop-reasons.ts";
import type { CopySpec, MountSpec } from "./folder-spec.ts";
import type { LeakActionName, ResolveOverrideRecord, SecretHostRecord } from "../protocol/net-launch.ts";

export type { StopReason };

export interface CallOptions {
  signal?: AbortSignal;
  onProgress?: (event: ProgressEvent) => void;
}

export type SandboxStatus = "creating" | "running" | "paused" | "stopping" | "stopped" | "failed";

/** How long a sandbox lives: with the connection that made it, or for a fixed time. */
export type Lifetime = { kind: "session" } | { kind: "duration"; ms: number };

export interface SandboxSpec {
  name?: string;
  /** Name, id or unique id prefix of an image; the default image if absent. */
  image?: string;
  memoryBytes?: number;
  cpus?: number;
  diskBytes?: number;
  /** What of the host is copied into it before it is used. */
  copies?: readonly CopySpec[];
  /** Directories of the host that it sees as they are. */
  mounts?: readonly MountSpec[];
  env?: Record<string, string>;
  labels?: Record<string, string>;
  /** Slug of the app that it is for: what it uses counts as that app's. Set by the apps themselves. */
  app?: string;
  /** Snapshot to start from, whose writes are gone with the sandbox, or bootable volume, whose writes stay. */
  root?: string;
  /** Checkpoint that it goes on from. Image, machine, disk and network are then the checkpoint's. */
  checkpoint?: string;
  /** Volumes that it has from the start. */
  volumes?: readonly VolumeMount[];
  /** What it may reach; nothing if absent. */
  network?: NetworkSpec;
  /** What it may use before it is ended; as much as it wants if absent. */
  budget?: Budget;
  lifetime: Lifetime;
}

/** A volume and where a sandbox has it. */
export interface VolumeMount {
  /** Id, name, or a unique prefix of either. */
  volume: string;
  /** In the guest: absolute, and not `/`. */
  path: string;
  access: "read-write" | "read-only";
}

/** What a new sandbox may reach, and with which secrets. Holds no value of any. */
export interface NetworkSpec {
  /** Without the rules of its mode's preset: those depend on the image. */
  policy: PolicySpec;
  secrets: readonly SecretRequest[];
  onLeak: LeakActionName;
  /** Intercept every connection that can be. */
  inspect: boolean;
  /** Absolute path of the user's hook module. */
  hookPath: string | null;
  resolve: readonly ResolveOverrideRecord[];
  /** Certificates that upstreams are verified with, besides the host's own. */
  extraRootsPem: readonly string[];
}

/**
 * A secret that a sandbox is given. Its value is the stored one; where none of this name is stored, the variable `name`
 * of {@link CallerEnvironment}.
 */
export interface SecretRequest {
  name: string;
  /** `null`: the hosts that it was stored with. A stored secret is for no other hosts than those. */
  hosts: readonly SecretHostRecord[] | null;
}

/** The environment of the process that asks: secrets and proxies are read from it. */
export interface CallerEnvironment {
  environment?: Readonly<Record<string, string | undefined>>;
  /** Values that came with the request, by the secret's name. They go before what is stored, and are not stored. */
  secretValues?: Readonly<Record<string, string>>;
}

/** Where a secret's value is taken from. All but `value` are read anew for each sandbox. */
export type SecretSource =
  | { kind: "value"; value: string }
  /** Variable of the process that creates the sandbox. */
  | { kind: "env"; variable: string }
  /** A line for `sh -c` on this machine; its output is the value. */
  | { kind: "command"; command: string }
  /** Absolute path. */
  | { kind: "file"; path: string };

export interface SandboxInfo {
  id: string;
  name: string | null;
  status: SandboxStatus;
  createdAt: number;
  /** Absent while creating. */
  startedAt: number | null;
  stoppedAt: number | null;
  /** `null` for a sandbox that lives with its session. */
  expiresAt: number | null;
  reason: StopReason | null;
  /** One sentence more on `reason`, if there is one. */
  detail: string | null;
  image: { id: string; name: string | null };
  memoryBytes: number;
  cpus: number;
  diskBytes: number;
  labels: Record<string, string>;
  region: string;
  /** Host process ids, for `inspect`; `null` when not running or remote. */
  supervisorPid: number | null;
  vmPid: number | null;
  accelerator: string | null;
  /** Volumes that it has, and what it was started from, the latter at `/`; absent in lists. */
  disks?: readonly SandboxDisk[];
}

export interface SandboxDisk {
  kind: "volume" | "snapshot";
  id: string;
  name: string;
  path: string;
  access: "read-write" | "read-only";
}

export interface ExecSpec {
  argv: readonly [string, ...string[]];
  /** Overlaid on the sandbox's environment. */
  env?: Record<string, string>;
  clearEnv?: boolean;
  cwd?: string;
  /** Guest account; the image's ordinary user if absent. */
  user?: string;
  /** A PTY of this size instead of three pipes; stderr then stays empty. */
  tty?: { cols: number; rows: number; term?: string };
  /** Whether stdin is wired up (otherwise /dev/null). Default false. */
  stdin?: boolean;
}

export type ExitStatus = { code: number; signal: string | null; oom: "high-confidence" | "low-confidence" | null };

export interface ImageInfo {
  /** sha-256 of the manifest's content, lower-case hex. */
  id: string;
  names: string[];
  createdAt: number;
  /** Bytes on disk. */
  sizeBytes: number;
  /** `amd64` or `arm64`. */
  architecture: string;
  distribution: string;
  kernel: string;
  packages: string[];
  /** Hosts that its package managers fetch from; a part of the preset `balanced`. */
  registries: { tool: string; host: string }[];
  isDefault: boolean;
}

export interface ImageBuildSpec {
  name: string;
  /** Debian packages on top of the base list. */
  packages: string[];
  /** Build even if an image of the same recipe exists. */
  force?: boolean;
}

export type CheckStatus = "ok" | "warning" | "failed" | "info";

/** One line of `sbx doctor`. */
export interface Check {
  id: string;
  title: string;
  status: CheckStatus;
  found: string;
  /** What to do about a warning or failure. */
  fix?: string;
}

export interface ProgressEvent {
  /** Stable id of the stage, such as `image` or `upload`. */
  stage: string;
  /** A short text for a person. */
  message: string;
  /** Units done and in all, where they are known (`unit` bytes or files). */
  done?: number;
  total?: number;
  unit?: "bytes" | "files";
}

export type PrunedKind = "sandbox" | "image" | "template" | "volume" | "layer" | "directory" | "process";

export interface PruneReport {
  removed: { kind: PrunedKind; id: string; bytes: number }[];
  failed: { kind: string; id: string; error: string }[];
}
