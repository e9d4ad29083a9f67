/** Failures of tools as a model is told them: a stable code, what happened, and what it can do about it. */
import { SbxError } from "../runtime/errors.ts";

export interface ToolErrorRecord {
  code: string;
  message: string;
  hint?: string;
}

/** A refusal of the server itself. */
export class ToolError extends Error {
  readonly record: ToolErrorRecord;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.name = "ToolError";
    this.record = { code, message, ...(hint === undefined ? {} : { hint }) };
  }
}

/**
 * What a model can do about an error of the runtime. The runtime's own hints are commands for a person on the host, which a
 * model cannot run.
 */
const HINTS: Partial<Record<SbxError["code"], string>> = {
  sandbox_not_found: "list_sandboxes tells which there are; create_sandbox makes one",
  sandbox_stopped: "it is gone with all that was in it: create_sandbox makes another one",
  sandbox_paused: "the user has paused it; work in another one, or ask the user",
  command_not_found: 'look for it with run_command and ["bash", "-c", "type -a NAME"], or install it',
  command_not_executable: "make it executable, or name its interpreter first",
  insufficient_resources: "kill_sandbox one that is not needed any more, then try again",
  disk_full: "the host's disk is full; ask the user",
  aborted: "the call was cancelled",
};

export function toolErrorRecord(error: unknown): ToolErrorRecord {
  if (error instanceof ToolError) return error.record;
  if (!(error instanceof SbxError)) {
    return { code: "internal", message: error instanceof Error ? error.message : String(error) };
  }
  const hint = HINTS[error.code];
  return { code: error.code, message: error.message, ...(hint === undefined ? {} : { hint }) };
}
