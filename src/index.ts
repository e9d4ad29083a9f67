/**
 * The package as a library: `import { connect } from "sbx"`. It gives out the Runtime that the command line is written
 * against. It prints nothing, ends no process, listens to no signal and keeps nothing between two calls.
 */
import { LOCAL_CONTEXT } from "./runtime/contexts/target.ts";
import { ACCELERATORS, DEFAULT_SETTINGS, type Settings } from "./runtime/defaults.ts";
import { SbxError } from "./runtime/errors.ts";
import { contextTarget, readOptions, serverTarget, type ConnectOptions } from "./library/connect-options.ts";
import type { Runtime } from "./runtime/runtime.ts";

export { SbxError } from "./runtime/errors.ts";
export type { ErrorCode } from "./runtime/errors.ts";
export { DEFAULT_SETTINGS } from "./runtime/defaults.ts";
export { DEFAULT_MOUNT_QUOTA } from "./runtime/folder-spec.ts";
export { EVENT_TYPES, LOG_SOURCES } from "./runtime/watching.ts";
export type { Accelerator, Settings } from "./runtime/defaults.ts";
export type * from "./runtime/runtime.ts";
export type * from "./runtime/types.ts";
export type * from "./runtime/files.ts";
export type * from "./runtime/network.ts";
export type * from "./runtime/disks.ts";
export type * from "./runtime/checkpoints.ts";
export type * from "./runtime/exposures.ts";
export type * from "./runtime/folders.ts";
export type * from "./runtime/folder-spec.ts";
export type * from "./runtime/editor.ts";
export type * from "./runtime/ssh.ts";
export type * from "./runtime/watching.ts";
export type {
  ConnectOptions,
  ContextConnectOptions,
  LocalConnectOptions,
  ServerConnectOptions,
} from "./library/connect-options.ts";
export { network, type NetworkWish } from "./library/network.ts";
export { run, type RunOptions, type RunResult } from "./library/run.ts";

/**
 * Opens a runtime. Dispose it when it is not needed any more; sandboxes with a lifetime of their own live on. Where it is
 * not this machine, nothing is asked of the server yet: what is wrong with it shows with the first call.
 *
 * @throws SbxError `usage` for options that make no sense, `config_invalid`, `state_newer`, `state_broken`, `disk_full`;
 *   `context_not_found`, `not_authenticated` for a context without a token
 */
export async function connect(options: ConnectOptions = {}): Promise<Runtime> {
  const given = readOptions(options);
  const { openRuntime } = await import("./runtime/select.ts");
  if (given.url !== undefined) return openRuntime(DEFAULT_SETTINGS, { target: serverTarget(given) });
  const { context = LOCAL_CONTEXT, home, settings = {} } = given;
  if (context === LOCAL_CONTEXT) return openRuntime(readSettings(settings), home === undefined ? {} : { home });
  return openRuntime(DEFAULT_SETTINGS, { target: await contextTarget(context) });
}

const COUNTS = ["memoryBytes", "cpus", "diskBytes", "timeoutMs"] as const;

/** The caller may be plain JavaScript: a limit that is silently not applied is worse than none. */
function readSettings(given: Partial<Settings>): Settings {
  const known = Object.keys(DEFAULT_SETTINGS);
  const stray = Object.keys(given).find((key) => !known.includes(key));
  if (stray !== undefined) {
    throw new SbxError("usage", `${stray} is not a setting`, { hint: `known are ${known.join(", ")}` });
  }
  const settings = { ...DEFAULT_SETTINGS, ...given };
  for (const key of COUNTS) {
    if (!Number.isSafeInteger(settings[key]) || settings[key] <= 0) {
      throw new SbxError("usage", `the setting ${key} must be a whole number above zero, not ${String(settings[key])}`);
    }
  }
  if (!ACCELERATORS.includes(settings.accelerator)) {
    throw new SbxError("usage", `${settings.accelerator} is no accelerator`, { hint: ACCELERATORS.join(", ") });
  }
  if (settings.image !== null && typeof settings.image !== "string") {
    throw new SbxError("usage", "the setting image must be a name or id, or null for the default image");
  }
  return settings;
}
