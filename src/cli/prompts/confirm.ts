/** A question before something is destroyed that was not named. Only on a terminal; inquirer is loaded only then. */
import { SbxError } from "../../runtime/errors.ts";
import type { CommandContext } from "../context.ts";

export interface ConfirmOptions {
  context: Pick<CommandContext, "stdin" | "stdout" | "stderr">;
  /** `--yes` was given. */
  yes: boolean;
  signal: AbortSignal;
}

/**
 * Asks, if there is anybody to ask: without a terminal, or with `--yes`, the answer is yes.
 *
 * @throws SbxError `aborted` when the user interrupts
 */
export async function confirm(message: string, options: ConfirmOptions): Promise<boolean> {
  const { stdin, stderr } = options.context;
  if (options.yes || stdin.isTTY !== true || stderr.isTTY !== true) return true;
  const { default: inquirer } = await import("inquirer");
  try {
    const prompt = inquirer.createPromptModule({
      input: stdin,
      output: stderr,
      signal: options.signal,
    });
    const { go } = await prompt<{ go: boolean }>([{ type: "confirm", name: "go", message, default: false }]);
    return go;
  } catch (error) {
    // inquirer's own names for Ctrl-C and for our signal.
    if (error instanceof Error && (error.name === "ExitPromptError" || error.name === "AbortPromptError")) {
      throw new SbxError("aborted", "nothing was done");
    }
    throw error;
  }
}
