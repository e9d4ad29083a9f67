/** VS Code on this machine's desktop, which reaches a sandbox over ssh (its extension Remote-SSH). */
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import type { SshApi } from "../../runtime/ssh.ts";
import type { CommandContext } from "../context.ts";
import { HOST_SUFFIX } from "../ssh/client-config.ts";
import { hasInclude } from "../ssh/include-line.ts";
import { readUserConfig, userConfigPath } from "../ssh/user-config.ts";
import { ownProgram, writeClientConfig } from "../ssh/write-config.ts";

const PROGRAM = "code";

type Env = CommandContext["env"];

/** The program `code`, if it is on PATH. */
export function findDesktopEditor(env: Env): string | undefined {
  const directories = (env.PATH ?? "").split(delimiter).filter((directory) => isAbsolute(directory));
  return directories.map((directory) => join(directory, PROGRAM)).find(isProgram);
}

/** What `code` is given; `sandbox` is a whole id or name. */
export function desktopArguments(sandbox: string, folder: string): string[] {
  return ["--remote", `ssh-remote+${sandbox}${HOST_SUFFIX}`, folder];
}

/**
 * Refuses where ssh does not know sandboxes by name: VS Code would only say that it cannot connect.
 *
 * @throws SbxError `config_invalid`
 */
export async function requireSshConfig(
  ssh: SshApi,
  env: Env,
  sandbox: string,
  userPath = userConfigPath(),
): Promise<void> {
  const { path } = await writeClientConfig(ssh, env, ownProgram());
  if (hasInclude(readUserConfig(userPath), path)) return;
  throw new SbxError(
    "config_invalid",
    `VS Code on the desktop reaches sandboxes by ssh, and ${userPath} does not name them`,
    { hint: `sbx ssh-config, once; or VS Code in the browser: sbx code ${sandbox} --web` },
  );
}

/**
 * Opens a window; returns when VS Code has taken the request.
 *
 * @throws SbxError `guest_error` when it refuses
 */
export async function openDesktopEditor(program: string, args: readonly string[], env: Env): Promise<void> {
  // stdout is for data: what `code` says goes to stderr.
  const child = spawn(program, args, { stdio: ["ignore", 2, 2], env });
  const status = await new Promise<number>((resolve, reject) => {
    child.once("error", (cause) => {
      reject(new SbxError("unsupported", `${program} cannot be run`, { cause, hint: "sbx code SANDBOX --web" }));
    });
    child.once("exit", (code) => resolve(code ?? 1));
  });
  if (status === 0) return;
  throw new SbxError("unsupported", `${program} ended with status ${status}`, {
    hint: "the extension Remote-SSH has to be there: code --install-extension ms-vscode-remote.remote-ssh",
  });
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
