/**
 * Writes the configuration file, with conf: whole or not at all, readable by its owner only. Loaded lazily, by
 * `config set` and `config unset` alone. The file has been read and checked before (load.ts).
 */
import { mkdirSync } from "node:fs";
import { SbxError } from "../../runtime/errors.ts";
import { configDirectory } from "../../host/config-directory.ts";
import { configPath } from "./config-path.ts";
import type { SettingName } from "./keys.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Sets keys, or takes those out whose value is `undefined`.
 *
 * @throws SbxError `file_error`
 */
export async function writeSettings(
  env: Environment,
  changes: Partial<Record<SettingName, string | number | undefined>>,
): Promise<void> {
  const { default: Conf } = await import("conf");
  const cwd = configDirectory(env);
  try {
    mkdirSync(cwd, { recursive: true, mode: 0o700 });
    const store = new Conf<Record<string, string | number>>({
      cwd,
      configName: "config",
      fileExtension: "json",
      configFileMode: 0o600,
      accessPropertiesByDotNotation: false,
    });
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) store.delete(name);
      else store.set(name, value);
    }
  } catch (error) {
    throw new SbxError("file_error", `the configuration ${configPath(env)} cannot be written`, {
      cause: error,
      hint: "set XDG_CONFIG_HOME to a directory that you can write to",
    });
  }
}
