/** Where Node keeps compiled code between runs: bin/run.js turns it on for the command line, this is for supervisors. */
import { homedir } from "node:os";
import path from "node:path";

/** A directory of the user's own: code in a shared one, such as /tmp, others could have made. */
export function compileCachePath(env: NodeJS.ProcessEnv = process.env): string {
  const { XDG_CACHE_HOME: base } = env;
  const caches = base !== undefined && path.isAbsolute(base) ? base : path.join(homedir(), ".cache");
  return path.join(caches, "sbx", "compile-cache");
}
