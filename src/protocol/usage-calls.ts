/**
 * What a sandbox uses, as its supervisor measures it: counters that only grow (a reader makes rates of two answers) and
 * amounts of this moment. The guest's own figures are the guest's word.
 */
import * as z from "zod/mini";

export const USAGE_TARGET = "/sbx/v1/usage";
export const MAX_USAGE_BODY_BYTES = 1024;
/** Processes in one answer. */
export const MAX_BUSIEST = 64;

const amount = () => z.number().check(z.nonnegative());
/** What a guest says of itself is no more than a machine can have: a lie must not spoil the table for the others. */
const guestCount = () => z.number().check(z.int(), z.minimum(0), z.maximum(2 ** 32 - 1));
const guestBytes = () => z.number().check(z.nonnegative(), z.maximum(2 ** 50));
const guestMs = () => z.number().check(z.nonnegative(), z.maximum(2 ** 42));

export const usageCall = () =>
  z.object({ processes: z.optional(z.number().check(z.int(), z.minimum(0), z.maximum(MAX_BUSIEST))) });
export type UsageCall = z.output<ReturnType<typeof usageCall>>;

/** One of the guest's busiest processes. */
export interface BusyProcess {
  pid: number;
  uid: number;
  name: string;
  state: string;
  /** Processor time within the window, `ms`. */
  cpuMs: number;
  windowMs: number;
  memoryBytes: number;
}

export interface UsageAnswer {
  /** Epoch `ms`. */
  at: number;
  /** The supervisor, QEMU and what they started, on this machine. */
  host: {
    cpuMs: number;
    /** What they have of the host's memory; of pages that others share, a share (PSS). */
    memoryBytes: number;
  };
  /** `null` while the guest stands still, or does not answer. */
  guest: {
    cpuMs: number;
    memoryTotalBytes: number;
    memoryUsedBytes: number;
    diskTotalBytes: number;
    diskUsedBytes: number;
    processes: number;
    oomKills: number;
    busiest: BusyProcess[] | null;
  } | null;
  /** Of all its disks since its machine started; `layerBytes` is what its own layer takes of the host's disk. */
  disk: { readBytes: number; writtenBytes: number; layerBytes: number };
  network: {
    sentBytes: number;
    receivedBytes: number;
    connections: number;
    requests: number;
    denied: number;
  };
}

const busyProcess = (): z.ZodMiniType<BusyProcess> =>
  z.object({
    pid: guestCount(),
    uid: guestCount(),
    name: z.string().check(z.maxLength(64)),
    state: z.string().check(z.maxLength(4)),
    cpuMs: guestMs(),
    windowMs: guestMs(),
    memoryBytes: guestBytes(),
  });

/** The guest's own figures: its word. */
export const guestUsage = (): z.ZodMiniType<NonNullable<UsageAnswer["guest"]>> =>
  z.object({
    cpuMs: guestMs(),
    memoryTotalBytes: guestBytes(),
    memoryUsedBytes: guestBytes(),
    diskTotalBytes: guestBytes(),
    diskUsedBytes: guestBytes(),
    processes: guestCount(),
    oomKills: guestCount(),
    busiest: z.nullable(z.array(busyProcess()).check(z.maxLength(MAX_BUSIEST))),
  });

export const usageAnswer = (): z.ZodMiniType<UsageAnswer> =>
  z.object({
    at: z.number(),
    host: z.object({ cpuMs: amount(), memoryBytes: amount() }),
    guest: z.nullable(guestUsage()),
    disk: z.object({ readBytes: amount(), writtenBytes: amount(), layerBytes: amount() }),
    network: z.object({
      sentBytes: amount(),
      receivedBytes: amount(),
      connections: amount(),
      requests: amount(),
      denied: amount(),
    }),
  });
