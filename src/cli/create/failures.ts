/** What to say when a sandbox ends under a command that was running in it. */
import { setTimeout as sleep } from "node:timers/promises";
import { SbxError } from "../../runtime/errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import { describeReason } from "../view/sandbox-view.ts";

/** A sandbox that is being stopped needs a moment until it is known why, `ms`. */
const PATIENCE_MS = 8000;
const LOOK_INTERVAL_MS = 100;

/** What the first sign looks like: the connection to the supervisor, or the supervisor's to the guest, is gone. */
const SIGNS = ["connection_closed", "agent_protocol"];

/**
 * A broken connection says nothing to a user; why the sandbox stopped does. Returns the better error where the runtime
 * knows one, else the error itself.
 */
export async function explainLostSandbox(error: unknown, runtime: Runtime, id: string): Promise<unknown> {
  if (!(error instanceof SbxError) || !SIGNS.includes(error.code)) return error;
  const info = await untilStopped(runtime, id);
  if (info === undefined) return error;
  return new SbxError("sandbox_stopped", `the sandbox ${info.name ?? id} stopped while the command was running`, {
    cause: new Error(describeReason(info)),
    hint: info.reason === "out_of_memory" ? "give it more memory with --memory" : `sbx inspect ${id}`,
  });
}

/** What is known of the sandbox once it has stopped; `undefined` if it does not, or nothing can be learnt. */
async function untilStopped(runtime: Runtime, id: string): Promise<SandboxInfo | undefined> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    for (;;) {
      const info = await runtime.get(id, { signal });
      if (info.status === "stopped" || info.status === "failed") return info;
      await sleep(LOOK_INTERVAL_MS, undefined, { signal });
    }
  } catch {
    // Out of time, or the runtime does not know it any more: the first error is still the best one.
    return undefined;
  }
}

/** Says that a sandbox stands still and what has it go on; `undefined` if it does not, or that cannot be learnt. */
export async function explainStandstill(runtime: Runtime, id: string): Promise<string | undefined> {
  try {
    const { status, name, detail } = await runtime.get(id, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (status === "paused") return `the sandbox is paused; sbx resume ${name ?? id} has it go on`;
    // A running one has something to explain only where this machine holds it up.
    return status === "running" && detail !== null ? `the sandbox stands still: ${detail}` : undefined;
  } catch {
    // It is gone, and the session will hear of that by itself, or nobody answers.
    return undefined;
  }
}
