/** The system's own ssh, on a sandbox: finds it, runs it with this process's streams, and tells how it ended. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { SbxError } from "../../runtime/errors.ts";
import type { SshApi } from "../../runtime/ssh.ts";
import type { CommandContext } from "../context.ts";
import type { Interrupt } from "../interrupt.ts";
import { quoteWord } from "../output/shell-quote.ts";
import { usageError } from "../parsers/usage-error.ts";
import { HOST_SUFFIX } from "./client-config.ts";
import { ownProgram, writeClientConfig } from "./write-config.ts";

const SIGNAL_BASE = 128;

/** What commands that run ssh take for it. */
export interface SshFlags {
  /** Account in the sandbox. */
  user?: string | undefined;
  /** A terminal also for a command. */
  tty?: boolean | undefined;
  /** As `-L`. */
  local?: readonly string[] | undefined;
  /** As `-D`. */
  dynamic?: readonly string[] | undefined;
  /** Only forward. */
  "no-command"?: boolean | undefined;
  /** Not for ssh. */
  cwd?: string | undefined;
  command: readonly string[];
}

export interface ClientProcess {
  context: CommandContext;
  interrupt: Interrupt;
}

/**
 * Runs ssh on a sandbox to its end and returns its status.
 *
 * @param host its name or id
 * @throws SbxError `usage`, `unsupported` where there is no ssh, `config_invalid`
 */
export async function runSsh(ssh: SshApi, host: string, flags: SshFlags, parts: ClientProcess): Promise<number> {
  if (flags.cwd !== undefined) {
    throw usageError("--cwd is not for SSH, which begins in the account's home", `sbx exec --cwd ${flags.cwd}`);
  }
  const { path } = await writeClientConfig(ssh, parts.context.env, ownProgram());
  return await runClient(clientArguments(path, host, flags), host, parts);
}

/** The arguments of ssh. */
export function clientArguments(configPath: string, host: string, flags: SshFlags): string[] {
  const forwards = [
    ...(flags.local ?? []).flatMap((value) => ["-L", value]),
    ...(flags.dynamic ?? []).flatMap((value) => ["-D", value]),
  ];
  return [
    ...["-F", configPath],
    ...(flags.user === undefined ? [] : ["-l", flags.user]),
    ...forwards,
    ...(forwards.length > 0 ? ["-o", "ExitOnForwardFailure=yes"] : []),
    ...(flags["no-command"] === true ? ["-N"] : []),
    ...(flags.tty === true ? ["-t"] : []),
    `${host}${HOST_SUFFIX}`,
    // Behind the host ssh looks for options as well.
    ...(flags.command.length > 0 ? ["--", ...remoteCommand(flags.command)] : []),
  ];
}

/**
 * One word is a line for the sandbox's shell. Several are arguments: ssh itself would join them with blanks, and the
 * shell would take them apart again, other than they were.
 */
function remoteCommand(command: readonly string[]): string[] {
  if (command.length <= 1) return [...command];
  return [command.map((word) => (word === "" ? "''" : quoteWord(word))).join(" ")];
}

async function runClient(
  args: readonly string[],
  host: string,
  { context, interrupt }: ClientProcess,
): Promise<number> {
  // From a terminal they reach ssh as well, which knows what to do; sent to this process alone they are passed on.
  using _diverted = interrupt.divert((name) => {
    if (name !== "SIGINT" && name !== "SIGQUIT") child.kill(name);
  });
  const child = spawn("ssh", args, { stdio: "inherit", env: context.env });
  return await new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      reject(
        new SbxError("unsupported", "there is no ssh on this machine", {
          cause,
          hint: `sudo apt-get install openssh-client, or sbx exec -t ${host} -- bash -l`,
        }),
      );
    });
    child.once("exit", (code, signal) => {
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
