/** Text that nobody else is to see: asked for without showing it, or all of stdin. Never an argument. */
import { SbxError } from "../../runtime/errors.ts";
import type { CommandContext } from "../context.ts";
import { usageError } from "../parsers/usage-error.ts";

export interface HiddenPrompt {
  context: Pick<CommandContext, "stdin" | "stderr">;
  signal: AbortSignal;
}

/** Asks a person. @throws SbxError `aborted` */
export async function askHidden(message: string, { context, signal }: HiddenPrompt): Promise<string> {
  const { default: inquirer } = await import("inquirer");
  try {
    const prompt = inquirer.createPromptModule({ input: context.stdin, output: context.stderr, signal });
    const question = { type: "password", name: "value", message, toggleMask: false } as const;
    return (await prompt<{ value: string }>([question])).value;
  } catch (error) {
    // inquirer's own names for Ctrl-C and for our signal.
    if (error instanceof Error && (error.name === "ExitPromptError" || error.name === "AbortPromptError")) {
      throw new SbxError("aborted", "nothing was stored");
    }
    throw error;
  }
}

/**
 * All of stdin, without the line break that ends it.
 *
 * @param what it is, for messages
 * @throws SbxError `usage` for what is too long or no text, `aborted`
 */
export async function readHidden(
  what: string,
  maxBytes: number,
  { context: { stdin }, signal }: HiddenPrompt,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const onAbort = (): void => void stdin.destroy(new SbxError("aborted", "nothing was stored"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      size += bytes.length;
      // Room for the line break.
      if (size > maxBytes + 2) throw usageError(`${what} is longer than ${maxBytes / 1024} KiB`);
      chunks.push(bytes);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
    return text.replace(/\r?\n$/, "");
  } catch {
    throw usageError(`${what} is not text in UTF-8`);
  }
}
