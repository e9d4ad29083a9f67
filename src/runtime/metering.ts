/** What was used, as it crosses the Runtime interface: by sandboxes, and by volumes and snapshots. */
import type { Amounts } from "../metering/amounts.ts";
import type { MeteredUsage } from "../metering/metered-usage.ts";
import type { CallOptions } from "./types.ts";

export type { Amounts, MeteredUsage };

export interface MeteringApi {
  /**
   * What was used in a span of time, up to this moment, of each thing that used anything; also of sandboxes that are
   * forgotten by now. Usage is kept for thirteen months.
   */
  read(query: MeteringQuery, options?: CallOptions): Promise<MeteredUsage[]>;
}

export interface MeteringQuery {
  /** Epoch `ms`; sandboxes count from the beginning of the hour (UTC) that this is in. */
  since: number;
  /** Epoch `ms`; now if absent. */
  until?: number;
  /** By days (UTC) or hours; all in one if absent. */
  by?: "hour" | "day";
}
