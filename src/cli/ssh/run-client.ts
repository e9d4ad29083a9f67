/** The system's own ssh, on a sandbox: finds it, runs it with this process's streams, and tells how it ended. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { SbxError } from "../../runtime/errors.ts";
import type { CommandContext } from "../context.ts";
import type { Interrupt } from "../interrupt.ts";
import { quoteWord } from "../output/shell-quote.ts";
import { HOST_SUFFIX } from "./client-config.ts";

const SIGNAL_BASE = 128;

export interface ClientCall {
  configPath: string;
  /** The sandbox's id or name. */
  host: string;
  user?: string | undefined;
  /** `-L` and `-D`, with their values. */
  forwards?: readonly string[];
  /** Only forward. */
  noCommand?: boolean;
  /** `-t`: a terminal also for a command. */
  terminal?: boolean;
  command: readonly string[];
}

/** The arguments of ssh. */
export function clientArguments(call: ClientCall): string[] {
  return [
    ...["-F", call.configPath],
    ...(call.user === undefined ? [] : ["-l", call.user]),
    ...(call.forwards ?? []),
    ...((call.forwards?.length ?? 0) > 0 ? ["-o", "ExitOnForwardFailure=yes"] : []),
    ...(call.noCommand === true ? ["-N"] : []),
    ...(call.terminal === true ? ["-t"] : []),
    `${call.host}${HOST_SUFFIX}`,
    ...remoteCommand(call.command),
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

/**
 * Runs ssh to its end and returns its status.
 *
 * @throws SbxError `unsupported` where there is no ssh
 */
export async function runClient(
  args: readonly string[],
  sandbox: string,
  { context, interrupt }: { context: CommandContext; interrupt: Interrupt },
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
          hint: `sudo apt-get install openssh-client, or sbx exec -t ${sandbox} -- bash -l`,
        }),
      );
    });
    child.once("exit", (code, signal) => {
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
