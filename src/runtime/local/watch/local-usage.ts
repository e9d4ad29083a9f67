/** Asks the supervisors what their sandboxes use, all at once. Their answers are parsed: some of it is the guest's. */
import { USAGE_TARGET, usageAnswer, type UsageAnswer, type UsageCall } from "../../../protocol/usage-calls.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type { CallOptions } from "../../types.ts";
import type { SandboxUsage } from "../../watching.ts";
import { callSupervisor } from "../supervisor-client.ts";

/** A supervisor waits two seconds for its guest, `ms`. */
const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** @param rows of running sandboxes */
export async function measureAll(
  rows: readonly SandboxRow[],
  processes: number,
  { signal }: CallOptions,
): Promise<SandboxUsage[]> {
  const body = JSON.stringify({ processes } satisfies UsageCall);
  const measured = await Promise.all(
    rows.map(async (row) => ({
      ...{ id: row.id, name: row.name, status: row.isPaused ? ("paused" as const) : row.status },
      ...{ cpus: row.spec.cpus, memoryBytes: row.spec.memoryBytes, startedAt: row.startedAt },
      usage: await measure(row.socket, body, signal),
    })),
  );
  throwIfAborted(signal, "measuring the sandboxes");
  return measured;
}

/** `null` for one that is ending, does not answer, or is of an earlier version. */
async function measure(socketPath: string, body: string, signal: AbortSignal | undefined): Promise<UsageAnswer | null> {
  const options = { body, signal, timeoutMs: TIMEOUT_MS, maxAnswerBytes: MAX_ANSWER_BYTES };
  const answer = await callSupervisor(socketPath, "POST", USAGE_TARGET, options).catch(() => null);
  const parsed = usageAnswer().safeParse(answer);
  return parsed.success ? parsed.data : null;
}
