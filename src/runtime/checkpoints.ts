/**
 * Copies of running machines at the Runtime interface: forks, which run at once, and checkpoints, which are kept. Sizes
 * are bytes, times are epoch ms.
 */
import type { Budget } from "../metering/budget.ts";
import type { SecretHostRecord } from "../protocol/net-launch.ts";
import type { CallerEnvironment, CallOptions, SandboxInfo } from "./types.ts";

export interface CheckpointInfo {
  id: string;
  name: string;
  region: string;
  createdAt: number;
  /** The sandbox that it was made of, as it was called then. */
  source: { id: string; name: string | null };
  imageId: string;
  memoryBytes: number;
  cpus: number;
  diskBytes: number;
  /** What its memory takes on the host's disk. */
  allocatedBytes: number;
  /** What is wrong with its files; empty when nothing is. */
  faults: string[];
  /**
   * What each sandbox that is made of it has again, with values that whoever makes it has; absent in lists, and where it
   * cannot be read.
   */
  secrets?: readonly { name: string; hosts: readonly SecretHostRecord[] }[];
}

/** How a machine was copied. */
export interface MachineCopyReport {
  /** How long the source stood still, `ms`. */
  pausedMs: number;
}

export interface ForkSpec {
  count: number;
  /** Of the copy; of several, each gets a number behind it. */
  name?: string;
  /** How long each lives, `ms`. */
  lifetimeMs: number;
  /** What becomes of volumes that the source writes to: a copy gets volumes of its own. `refuse` if absent. */
  volumes?: "refuse" | "copy";
  /** Beside those of the source. */
  labels?: Record<string, string>;
  env?: Record<string, string>;
  /** What each may use, for each kind of limit in the place of the source's; as much as the source might if absent. */
  budget?: Budget;
}

export interface CheckpointApi {
  /** @throws SbxError `name_in_use`, `sandbox_paused`, `copy_unsupported`, `disk_full` */
  create(sandbox: string, name: string, options?: CallOptions): Promise<CheckpointInfo & MachineCopyReport>;
  /** The newest first. */
  list(options?: CallOptions): Promise<CheckpointInfo[]>;
  /** By id, name, or a unique prefix of either. @throws SbxError `checkpoint_not_found` */
  get(ref: string, options?: CallOptions): Promise<CheckpointInfo>;
  /** Sandboxes that were made of it go on. */
  remove(ref: string, options?: CallOptions): Promise<CheckpointInfo>;
}

export type ForkOptions = CallOptions & CallerEnvironment;

/** All of them, or none. */
export type ForkReport = MachineCopyReport & { sandboxes: SandboxInfo[] };
