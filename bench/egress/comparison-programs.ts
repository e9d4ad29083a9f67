/**
 * The programs that the egress path is measured beside. They are Debian's, and are installed when a row first asks for
 * them and this account may do so; otherwise the row says what to install.
 */
import { accessSync, constants } from "node:fs";
import path from "node:path";
import { timeProgram } from "../programs.ts";

/** Programs and the Debian packages that have them. `tinyproxy-bin` is tinyproxy without its system service. */
const PACKAGES = { mitmdump: "mitmproxy", tinyproxy: "tinyproxy-bin" } as const;

export type ComparisonProgram = keyof typeof PACKAGES;

/**
 * Path of a program, which is installed if it is missing.
 *
 * @throws Error that says what to install
 */
export async function comparisonProgram(name: ComparisonProgram, log: (message: string) => void): Promise<string> {
  const found = findProgram(name);
  if (found !== undefined) return found;
  const packageName = PACKAGES[name];
  const missing = `${name} is not installed, which this is measured beside: apt-get install ${packageName}`;
  if (process.getuid?.() !== 0) throw new Error(missing);
  log(`installing Debian's ${packageName}, which has ${name}`);
  const apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"];
  const install = [...apt, "install", "--yes", "--no-install-recommends", packageName];
  try {
    await timeProgram(install).catch(async () => {
      // Mostly lists that are out of date.
      await timeProgram([...apt, "update"]).catch(() => undefined);
      await timeProgram(install);
    });
  } catch (cause) {
    throw new Error(missing, { cause });
  }
  const installed = findProgram(name);
  if (installed === undefined) throw new Error(missing);
  return installed;
}

function findProgram(name: string): string | undefined {
  // An ordinary user's PATH lacks the directory that tinyproxy is in.
  const directories = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/bin", "/usr/sbin"];
  return directories.map((directory) => path.join(directory, name)).find((file) => isExecutable(file));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not there or not for us: both mean that it cannot be run.
  }
}
