/** What the caller's organisation has used: its runtime knows of no other. */
import type { METERING_CALLS } from "../../protocol/control-calls-metering.ts";
import type { ControlHandlers } from "./handler.ts";

export const METERING_HANDLERS: ControlHandlers<keyof typeof METERING_CALLS> = {
  "usage.read": async (query, { runtime, signal }) => {
    const rows = await runtime.metering.read(query, { signal });
    return rows.map((row) => ({ ...row, labels: { ...row.labels } }));
  },
};
