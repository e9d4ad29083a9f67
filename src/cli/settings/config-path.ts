/** The file of the settings. */
import { join } from "node:path";
import { configDirectory } from "../../host/config-directory.ts";

export function configPath(env: Readonly<Record<string, string | undefined>>): string {
  return join(configDirectory(env), "config.json");
}
