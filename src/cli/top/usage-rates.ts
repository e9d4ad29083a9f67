/** Rates from two measurements of the same sandbox. Pure. */
import type { SandboxUsage } from "../../runtime/watching.ts";

/** What happened within an interval. `null` where there are no two measurements yet. */
export interface UsageRates {
  intervalMs: number | null;
  /** Percent of one processor. */
  guestCpuPercent: number | null;
  hostCpuPercent: number | null;
  readBytesPerSecond: number | null;
  writtenBytesPerSecond: number | null;
  sentBytesPerSecond: number | null;
  receivedBytesPerSecond: number | null;
  requestsPerSecond: number | null;
}

/** @param before of the same sandbox */
export function ratesOf(before: SandboxUsage | undefined, now: SandboxUsage): UsageRates {
  const [from, to] = [before?.usage ?? null, now.usage];
  const ms = from === null || to === null ? 0 : to.at - from.at;
  const rate = (a: number | undefined, b: number | undefined, scale: number): number | null => {
    if (ms <= 0 || a === undefined || b === undefined) return null;
    // A counter begins anew where what it counts was started anew.
    return (Math.max(0, b - a) / ms) * scale;
  };
  return {
    intervalMs: ms > 0 ? ms : null,
    guestCpuPercent: rate(from?.guest?.cpuMs, to?.guest?.cpuMs, 100),
    hostCpuPercent: rate(from?.host.cpuMs, to?.host.cpuMs, 100),
    readBytesPerSecond: rate(from?.disk.readBytes, to?.disk.readBytes, 1000),
    writtenBytesPerSecond: rate(from?.disk.writtenBytes, to?.disk.writtenBytes, 1000),
    sentBytesPerSecond: rate(from?.network.sentBytes, to?.network.sentBytes, 1000),
    receivedBytesPerSecond: rate(from?.network.receivedBytes, to?.network.receivedBytes, 1000),
    requestsPerSecond: rate(from?.network.requests, to?.network.requests, 1000),
  };
}

export interface MeasuredSandbox {
  sandbox: SandboxUsage;
  rates: UsageRates;
}

export const SORT_KEYS = ["cpu", "memory", "name"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

/** Joins a measurement with the one before it, in order. */
export function compareUsage(
  before: readonly SandboxUsage[],
  now: readonly SandboxUsage[],
  sort: SortKey,
): MeasuredSandbox[] {
  const earlier = new Map(before.map((sandbox) => [sandbox.id, sandbox]));
  const measured = now.map((sandbox) => ({ sandbox, rates: ratesOf(earlier.get(sandbox.id), sandbox) }));
  return measured.sort(ORDERS[sort]);
}

const byName = (a: MeasuredSandbox, b: MeasuredSandbox): number => title(a).localeCompare(title(b));

const ORDERS: Readonly<Record<SortKey, (a: MeasuredSandbox, b: MeasuredSandbox) => number>> = {
  cpu: (a, b) => cpu(b) - cpu(a) || byName(a, b),
  memory: (a, b) => memory(b) - memory(a) || byName(a, b),
  name: byName,
};

function title({ sandbox }: MeasuredSandbox): string {
  return sandbox.name ?? sandbox.id;
}

/** To the whole percent, or idle ones would change places all the time. */
function cpu({ rates }: MeasuredSandbox): number {
  return Math.round(rates.guestCpuPercent ?? rates.hostCpuPercent ?? -1);
}

function memory({ sandbox: { usage } }: MeasuredSandbox): number {
  return usage?.guest?.memoryUsedBytes ?? usage?.host.memoryBytes ?? -1;
}
