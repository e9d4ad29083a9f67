/** Where the user's configuration lies (XDG base directory specification). The environment is the user's own. */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The directory of sbx's configuration. A relative `XDG_CONFIG_HOME` is ignored, as the specification says. */
export function configDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const base = env.XDG_CONFIG_HOME;
  if (base !== undefined && isAbsolute(base)) return join(base, "sbx");
  const home = env.HOME !== undefined && isAbsolute(env.HOME) ? env.HOME : homedir();
  return join(home, ".config", "sbx");
}
