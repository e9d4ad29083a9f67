/** Measures again and again, and shows each result. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SandboxUsage, UsageOptions } from "../../runtime/watching.ts";

export interface Measurement {
  before: readonly SandboxUsage[];
  now: readonly SandboxUsage[];
}

export interface WatchUsageOptions extends UsageOptions {
  intervalMs: number;
  signal: AbortSignal;
  /** Whether the first measurement, which has no rates, is worth showing. */
  showsFirst: boolean;
  /** Ends after so many intervals. */
  count?: number;
}

/** Ends silently with the signal. */
export async function* watchUsage(runtime: Runtime, options: WatchUsageOptions): AsyncIterable<Measurement> {
  const { intervalMs, signal, showsFirst, count = Infinity, ...query } = options;
  const measure = async (): Promise<SandboxUsage[]> => runtime.usage({ ...query, signal });
  const silently = (error: unknown): undefined => {
    if (!signal.aborted) throw error;
    return undefined;
  };
  let before = await measure().catch(silently);
  if (before === undefined) return;
  if (showsFirst) yield { before: [], now: before };
  for (let done = 0; done < count; done++) {
    await sleep(intervalMs, undefined, { signal }).catch(silently);
    const now = signal.aborted ? undefined : await measure().catch(silently);
    if (now === undefined) return;
    yield { before, now };
    before = now;
  }
}
