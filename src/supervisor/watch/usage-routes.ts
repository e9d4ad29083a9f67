/** The part of the supervisor's socket that tells what the sandbox uses (src/protocol/usage-calls.ts). */
import { MAX_USAGE_BODY_BYTES, USAGE_TARGET, usageCall, type UsageAnswer } from "../../protocol/usage-calls.ts";
import type { DoorTable } from "../door-http.ts";

export interface UsageControl {
  /** @param processes how many of the guest's busiest are wanted */
  measure(processes: number): Promise<UsageAnswer>;
}

export const USAGE_CALLS: DoorTable<UsageControl> = {
  routes: {
    [USAGE_TARGET]: {
      POST: {
        maxBytes: MAX_USAGE_BODY_BYTES,
        answer: (meter, { body }) => meter.measure(usageCall().parse(body).processes ?? 0),
      },
    },
  },
};
