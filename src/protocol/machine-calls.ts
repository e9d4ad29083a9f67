/**
 * Calls about a whole machine over a supervisor's Unix socket (0600, its user's alone): JSON bodies both ways. Errors are
 * `{ code, message, hint? }` with a status of 400 or above, as everywhere on that socket.
 *
 *     POST /sbx/v1/pause                      → the sandbox's info
 *     POST /sbx/v1/resume                     → the sandbox's info
 *     POST /sbx/v1/machine-copies   CopyCall  → CopyAnswer
 */
import * as z from "zod/mini";
import { MAX_ATTACHED_VOLUMES, VOLUME_ID, type HeldVolume } from "./disk-calls.ts";
import type { LaunchMachine } from "./launch.ts";
import type { EgressLaunch } from "./net-launch.ts";
import type { NetworkPast } from "./network-past.ts";

export const PAUSE_TARGET = "/sbx/v1/pause";
export const RESUME_TARGET = "/sbx/v1/resume";
export const COPIES_TARGET = "/sbx/v1/machine-copies";

/** Longest body of these calls, `bytes`. */
export const MAX_MACHINE_BODY_BYTES = 64 * 1024;
/** Longest answer, `bytes`: an environment, a policy and some thirty thousand names. */
export const MAX_MACHINE_ANSWER_BYTES = 16 * 1024 * 1024;

const MAX_PATH_BYTES = 4096;

const hostPath = () => z.string().check(z.maxLength(MAX_PATH_BYTES), z.regex(/^\/[^\0]*$/));

/**
 * Copies the machine while it runs. It stands still for a moment at the end. What the caller names is made (the files) or
 * there (the layer), and the caller's to remove, whatever comes of the call.
 */
export const copyCall = () =>
  z.object({
    /** A file to be made: the guest's memory. */
    memoryPath: hostPath(),
    /** A file to be made: the state of the devices. */
    statePath: hostPath(),
    /** As for a disk snapshot: an empty layer, to which the source's root disk is written from the copy's moment on. */
    layerPath: hostPath(),
    /** An empty layer for each volume that the source writes to, as for the root disk. */
    volumes: z
      .array(z.object({ id: z.string().check(z.regex(VOLUME_ID)), layerPath: hostPath() }))
      .check(z.maxLength(MAX_ATTACHED_VOLUMES)),
    /** Whether the files are on the host's disk when the call is answered. */
    durable: z.boolean(),
  });
export type CopyCall = z.output<ReturnType<typeof copyCall>>;

/** What a copy has to know beside its machine. */
export interface CopyMemories {
  /** What the source may reach by now, and with which secrets. */
  egress: EgressLaunch;
  extraRootsPem: readonly string[];
  past: NetworkPast;
  /** Variables of processes that start from now on, without secrets and roots: those are made anew. */
  environment: Record<string, string>;
}

export interface CopyAnswer {
  /** How long the guest stood still, `ms`. */
  pausedMs: number;
  /** Pages of the memory that the guest has written since it was restored, and that were written while it stood still. */
  privatePages: number;
  latePages: number;
  /** What was copied: another machine cannot be restored from it. */
  machine: Pick<LaunchMachine, "machine" | "diskBytes"> & { qemuVersion: string };
  memories: CopyMemories;
  /** Volumes that the copied guest has mounted; each was given a layer. */
  volumes: CopiedVolume[];
}

export type CopiedVolume = Omit<HeldVolume, "layers" | "access">;
