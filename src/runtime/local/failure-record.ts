/**
 * What a supervisor leaves when its start failed, for when nobody was there to hear it. The file may be cut short or
 * come from another version of sbx: what does not parse counts as absent.
 */
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { z } from "zod";

const MAX_RECORD_BYTES = 64 * 1024;

const failureSchema = z.object({
  code: z.string().max(100),
  message: z.string().min(1).max(10_000),
  hint: z.string().max(10_000).optional(),
});

export type FailureRecord = z.infer<typeof failureSchema>;

/** Reads `failure.json` of a sandbox's directory (written by src/supervisor/main.ts). */
export function readFailure(directory: string): FailureRecord | undefined {
  const file = path.join(directory, "failure.json");
  try {
    if (statSync(file).size > MAX_RECORD_BYTES) return undefined;
    return failureSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined; // There is none, or it is damaged: the end has no explanation then.
  }
}
