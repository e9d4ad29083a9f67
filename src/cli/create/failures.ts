/** What to say when a sandbox ends under a command that was running in it. */
import { SbxError } from "../../runtime/errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import { describeReason } from "../view/sandbox-view.ts";

/**
 * A broken connection says nothing to a user; why the sandbox stopped does. Returns the better error where the runtime
 * knows one, else the error itself.
 */
export async function explainLostSandbox(error: unknown, runtime: Runtime, id: string): Promise<unknown> {
  if (!(error instanceof SbxError) || error.code !== "connection_closed") return error;
  let info: SandboxInfo;
  try {
    info = await runtime.get(id, { signal: AbortSignal.timeout(2000) });
  } catch {
    // The first error is still the best one.
    return error;
  }
  if (info.status !== "stopped" && info.status !== "failed") return error;
  return new SbxError("sandbox_stopped", `the sandbox ${info.name ?? id} stopped while the command was running`, {
    cause: new Error(describeReason(info)),
    hint: info.reason === "out_of_memory" ? "give it more memory with --memory" : `sbx logs ${id}`,
  });
}
