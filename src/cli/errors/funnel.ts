/** The one place where a failure becomes text on stderr and an exit status. Takes anything that was thrown. */
import { SbxError, toErrorRecord } from "../../runtime/errors.ts";
import { openPalette, type ColorEnvironment, type ColorStream } from "../output/palette.ts";
import { exitStatusFor, signalStatus, type CommandPhase } from "./exit-status.ts";
import { exitStatusOf, translateOclifError, type CommandNames } from "./oclif-errors.ts";
import { renderError, renderErrorJson } from "./render.ts";

export interface FailureContext {
  names: CommandNames;
  json: boolean;
  phase: CommandPhase;
  /** The signal that asked sbx to stop, if one did. */
  interruptedBy: NodeJS.Signals | undefined;
  env: ColorEnvironment;
  stderr: ColorStream & { write(text: string): unknown };
}

/**
 * Reports a failure.
 *
 * @returns the exit status
 */
export async function reportFailure(thrown: unknown, context: FailureContext): Promise<number> {
  const silent = exitStatusOf(thrown);
  if (silent !== undefined) return silent;
  if (context.interruptedBy !== undefined && isAbort(thrown)) {
    // The user knows: it was they who pressed Ctrl-C. A word of ours would only be in the way.
    return signalStatus(context.interruptedBy);
  }
  const error = toSbxError(thrown, context.names);
  const record = toErrorRecord(error);
  if (context.json) {
    context.stderr.write(renderErrorJson(record));
  } else {
    context.stderr.write(renderError(record, await openPalette(context.stderr, context.env)));
    if (error.code === "internal" && isDebug(context.env) && thrown instanceof Error) {
      context.stderr.write(`${thrown.stack ?? ""}\n`);
    }
  }
  return exitStatusFor(error, context.phase, context.interruptedBy);
}

/** Whether an error means that an AbortSignal fired. */
export function isAbort(thrown: unknown): boolean {
  if (thrown instanceof SbxError) return thrown.code === "aborted";
  return thrown instanceof Error && thrown.name === "AbortError";
}

function toSbxError(thrown: unknown, names: CommandNames): SbxError {
  const known = translateOclifError(thrown, names);
  if (known !== undefined) return known;
  if (isAbort(thrown)) return new SbxError("aborted", "the command was stopped", { cause: thrown });
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new SbxError("internal", `something went wrong inside sbx: ${message}`, {
    cause: thrown instanceof Error ? thrown.cause : undefined,
    hint: "run it again with SBX_DEBUG=1 for the stack trace, and report it",
  });
}

function isDebug(env: ColorEnvironment): boolean {
  return env.SBX_DEBUG !== undefined && env.SBX_DEBUG !== "" && env.SBX_DEBUG !== "0";
}
