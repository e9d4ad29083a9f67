/** Measures what the sandbox uses. One measurement at a time: whoever asks meanwhile gets the same one. */
import { stat } from "node:fs/promises";
import * as z from "zod/mini";
import type { AgentLink } from "../../guest/link.ts";
import type { AgentStats } from "../../protocol/agent-calls.ts";
import type { NetCounters } from "../../protocol/net-calls.ts";
import { guestUsage, type UsageAnswer } from "../../protocol/usage-calls.ts";
import type { Qmp } from "../../vm/qmp.ts";
import { HostProcesses } from "./host-processes.ts";
import type { UsageControl } from "./usage-routes.ts";

/** A guest that is busy, or hostile, may take its time: its figures are left out then, `ms`. */
const GUEST_DEADLINE_MS = 2000;
/** `st_blocks` counts these (stat(2)), `bytes`. */
const BLOCK_BYTES = 512;

export interface UsageMeterOptions {
  /** The machine's outermost process. */
  vmPid: number;
  qmp: Pick<Qmp, "execute">;
  link: AgentLink;
  standsStill: () => boolean;
  /** The file that the root disk is written to. */
  layerPath: () => string;
  counters: () => Omit<NetCounters, "openFlows">;
}

export class UsageMeter implements UsageControl {
  readonly #options: UsageMeterOptions;
  readonly #processes: HostProcesses;
  readonly #underWay = new Map<number, Promise<UsageAnswer>>();

  constructor(options: UsageMeterOptions) {
    this.#options = options;
    this.#processes = new HostProcesses(options.vmPid);
  }

  /** @param processes how many of the guest's are wanted */
  async measure(processes: number): Promise<UsageAnswer> {
    const running = this.#underWay.get(processes) ?? this.#measure(processes);
    this.#underWay.set(processes, running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(processes);
    }
  }

  async #measure(processes: number): Promise<UsageAnswer> {
    const { counters, layerPath } = this.#options;
    const [guest, host, disk, layerBytes] = await Promise.all([
      this.#askGuest(processes),
      this.#processes.measure(),
      this.#askQemu(),
      allocated(layerPath()),
    ]);
    const { sentBytes, receivedBytes, connections, requests, denied } = counters();
    const network = { sentBytes, receivedBytes, connections, requests, denied };
    return { at: Date.now(), host, guest, disk: { ...disk, layerBytes }, network };
  }

  async #askGuest(processes: number): Promise<UsageAnswer["guest"]> {
    if (this.#options.standsStill()) return null;
    const signal = AbortSignal.timeout(GUEST_DEADLINE_MS);
    const call = this.#options.link.call("stats", processes === 0 ? {} : { processes }, { signal });
    try {
      return guestUsage().parse(toGuest(await call));
    } catch {
      return null; // It is late, gone, or lies: the host's figures are worth having without the guest's.
    }
  }

  async #askQemu(): Promise<{ readBytes: number; writtenBytes: number }> {
    const answer = await this.#options.qmp.execute("query-blockstats").catch(() => []);
    const parsed = blockStats().safeParse(answer);
    const disks = parsed.success ? parsed.data : [];
    return {
      readBytes: disks.reduce((sum, { stats }) => sum + stats.rd_bytes, 0),
      writtenBytes: disks.reduce((sum, { stats }) => sum + stats.wr_bytes, 0),
    };
  }
}

/** The part of the answer that is read: what the guest's devices did (QEMU QMP reference, query-blockstats). */
const blockStats = () => {
  const bytes = z.number().check(z.nonnegative());
  return z.array(z.object({ stats: z.object({ rd_bytes: bytes, wr_bytes: bytes }) })).check(z.maxLength(1024));
};

function toGuest(stats: AgentStats): NonNullable<UsageAnswer["guest"]> {
  const { cpuMs, memoryTotal, memoryAvailable, diskTotal, diskUsed, processes, oomKills, busiest } = stats;
  return {
    ...{ cpuMs, memoryTotalBytes: memoryTotal, memoryUsedBytes: Math.max(0, memoryTotal - memoryAvailable) },
    ...{ diskTotalBytes: diskTotal, diskUsedBytes: diskUsed, processes, oomKills },
    busiest: busiest?.map(({ rss, ...process }) => ({ ...process, memoryBytes: rss })) ?? null,
  };
}

async function allocated(file: string): Promise<number> {
  try {
    return (await stat(file)).blocks * BLOCK_BYTES;
  } catch {
    return 0; // Removed: the sandbox is ending.
  }
}
