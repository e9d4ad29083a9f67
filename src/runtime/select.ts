/** Chooses the runtime behind a command: the one place that knows them all. Imports lazily, since start-up time counts. */
import type { Settings } from "./defaults.ts";
import type { Runtime } from "./runtime.ts";

/**
 * Opens the runtime that the settings ask for; the embedded one on this machine is the only one so far.
 *
 * @throws SbxError when its state cannot be read
 */
export async function openRuntime(settings: Settings): Promise<Runtime> {
  const { openLocalRuntime } = await import("./local/index.ts");
  return openLocalRuntime(settings);
}
