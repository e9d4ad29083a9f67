/** What an organisation has used. */
import * as z from "zod/mini";
import { controlCall } from "./control-call.ts";
import { amount, text, time } from "./control-schema.ts";

const query = () => z.object({ since: time(), until: z.optional(time()), by: z.optional(z.enum(["hour", "day"])) });

const used = () =>
  z.object({
    kind: z.enum(["sandbox", "volume", "snapshot"]),
    ...{ id: text(), name: z.nullable(text()), labels: z.record(z.string(), z.string()), app: z.nullable(text()) },
    bucket: time(),
    amounts: z.object({
      ...{ cpuMs: amount(), memoryByteHours: amount(), storageByteHours: amount() },
      ...{ sentBytes: amount(), receivedBytes: amount() },
    }),
  });

export const METERING_CALLS = {
  "usage.read": controlCall({ scope: "read", summary: "What was used" }, query, () => z.array(used())),
};
