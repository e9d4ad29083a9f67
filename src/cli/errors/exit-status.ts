/** The exit status of a failure (design: 125 before the guest's command ran, 128+n for a signal, 2 for usage). */
import { constants } from "node:os";
import { EXIT, type SbxError } from "../../runtime/errors.ts";

/** How far a command had come: only `run`, `create` and `exec` know anything but `plain`. */
export type CommandPhase = "plain" | "before-guest-command" | "guest-command-running";

/** 128 plus the signal's number. */
export function signalStatus(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/**
 * The status for an error.
 *
 * @param interruptedBy the signal that sbx itself was sent, if any
 */
export function exitStatusFor(error: SbxError, phase: CommandPhase, interruptedBy: NodeJS.Signals | undefined): number {
  if (error.code === "aborted") {
    return interruptedBy === undefined ? error.exitCode : signalStatus(interruptedBy);
  }
  switch (phase) {
    case "plain":
    case "guest-command-running":
      return error.exitCode;
    case "before-guest-command":
      return error.exitCode === EXIT.failure ? EXIT.beforeCommand : error.exitCode;
  }
}
