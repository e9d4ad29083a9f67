/** sbx's own ssh configuration, kept up to date: what depends on this installation is written when it is needed. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SshApi } from "../../runtime/ssh.ts";
import { clientConfig, parseSshVersion, type SshVersion } from "./client-config.ts";

/** Variables that decide where sbx's state and its contexts are (src/runtime/local/paths.ts, src/host). */
const STATE_VARIABLES = ["SBX_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"];
const VERSION_TIMEOUT_MS = 5_000;

export interface WrittenConfig {
  path: string;
  text: string;
}

/** Writes the file if it is not what it should be. @throws SbxError `config_invalid` */
export async function writeClientConfig(
  ssh: SshApi,
  env: Readonly<Record<string, string | undefined>>,
  program: readonly string[],
): Promise<WrittenConfig> {
  const files = await ssh.files();
  const path = join(files.directoryPath, "config");
  const variables = STATE_VARIABLES.flatMap((name) => {
    const value = env[name];
    return value === undefined || value === "" ? [] : [[name, value] as const];
  });
  const config = { files, program, env: Object.fromEntries(variables) };
  const text = clientConfig({ ...config, version: await findVersion(env) });
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) {
    const temporaryPath = `${path}.${process.pid}.tmp`;
    writeFileSync(temporaryPath, text, { mode: 0o600 });
    renameSync(temporaryPath, path);
  }
  return { path, text };
}

/** How this sbx was started, for programs that start it again. */
export function ownProgram(): string[] {
  const [node = process.execPath, script = ""] = process.argv;
  return [node, "--", script];
}

async function findVersion(env: Readonly<Record<string, string | undefined>>): Promise<SshVersion | undefined> {
  try {
    const { stderr } = await promisify(execFile)("ssh", ["-V"], {
      timeout: VERSION_TIMEOUT_MS,
      ...(env.PATH === undefined ? {} : { env: { PATH: env.PATH } }),
    });
    return parseSshVersion(stderr);
  } catch {
    return undefined; // There is no ssh: whoever needs it says so.
  }
}
