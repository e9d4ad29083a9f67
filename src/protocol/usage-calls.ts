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

export const usageCall = () =>
  z.object({ processes: z.optional(z.number().check(z.int(), z.minimum(0), z.maximum(MAX_BUSIEST))) });
export type UsageCall = z.output<ReturnType<typeof usageCall>>;

const busyProcess = () =>
  z.object({
    pid: amount(),
    uid: amount(),
    name: z.string().check(z.maxLength(64)),
    state: z.string().check(z.maxLength(4)),
    /** Processor time within the window, `ms`. */
    cpuMs: amount(),
    windowMs: amount(),
    memoryBytes: amount(),
  });

export const usageAnswer = () =>
  z.object({
    /** Epoch `ms`. */
    at: z.number(),
    /** The supervisor, QEMU and what they started, on this machine. */
    host: z.object({
      cpuMs: amount(),
      /** What they have of the host's memory; of pages that others share, a share (PSS). */
      memoryBytes: amount(),
    }),
    /** `null` while the guest stands still, or does not answer. */
    guest: z.nullable(
      z.object({
        cpuMs: amount(),
        memoryTotalBytes: amount(),
        memoryUsedBytes: amount(),
        diskTotalBytes: amount(),
        diskUsedBytes: amount(),
        processes: amount(),
        oomKills: amount(),
        busiest: z.nullable(z.array(busyProcess()).check(z.maxLength(MAX_BUSIEST))),
      }),
    ),
    /** Of all its disks since its machine started; `layerBytes` is what its own layer takes of the host's disk. */
    disk: z.object({ readBytes: amount(), writtenBytes: amount(), layerBytes: amount() }),
    network: z.object({
      sentBytes: amount(),
      receivedBytes: amount(),
      connections: amount(),
      requests: amount(),
      denied: amount(),
    }),
  });
export type UsageAnswer = z.output<ReturnType<typeof usageAnswer>>;
export type BusyProcess = z.output<ReturnType<typeof busyProcess>>;
