/** Where contexts are kept: beside the configuration, wherever sandboxes' state is. */
import path from "node:path";
import { configDirectory } from "../../host/config-directory.ts";

export function contextsPath(env: Readonly<Record<string, string | undefined>>): string {
  return path.join(configDirectory(env), "contexts.json");
}
