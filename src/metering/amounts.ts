/** What is metered, and sums of it. */

/** Counters of one sandbox: they only grow. */
export interface SandboxCounters {
  /** Processor time of its machine on this host, `ms`. */
  cpuMs: number;
  /** Memory that it was given, for as long as its machine was there. */
  memoryByteHours: number;
  /** From the guest to the network. */
  sentBytes: number;
  receivedBytes: number;
}

export interface Amounts extends SandboxCounters {
  /** What volumes and snapshots took of the host's disk. */
  storageByteHours: number;
}

export const NOTHING: Amounts = {
  cpuMs: 0,
  memoryByteHours: 0,
  sentBytes: 0,
  receivedBytes: 0,
  storageByteHours: 0,
};

export const HOUR_MS = 3_600_000;
export const GB = 1e9;
export const GIB = 1024 ** 3;
/** A month on a bill: a twelfth of 365 days, in hours. */
export const MONTH_HOURS = 730;

/** Of all that was used. */
export function sumAmounts(used: readonly { amounts: Amounts }[]): Amounts {
  return used.reduce((sum, { amounts }) => addAmounts(sum, amounts), NOTHING);
}

export function addAmounts(sum: Amounts, more: Partial<Amounts>): Amounts {
  return {
    cpuMs: sum.cpuMs + (more.cpuMs ?? 0),
    memoryByteHours: sum.memoryByteHours + (more.memoryByteHours ?? 0),
    sentBytes: sum.sentBytes + (more.sentBytes ?? 0),
    receivedBytes: sum.receivedBytes + (more.receivedBytes ?? 0),
    storageByteHours: sum.storageByteHours + (more.storageByteHours ?? 0),
  };
}
