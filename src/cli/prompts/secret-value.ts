/** A secret's value: asked for without showing it, or all of stdin where that is no terminal. Never an argument. */
import { MAX_SECRET_BYTES, secretValueFault } from "../../protocol/secret-value.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { CommandContext } from "../context.ts";
import { usageError } from "../parsers/usage-error.ts";

const HINT = "type it where it is asked for, or pipe it to this command: one line, as it goes into a header";

export interface SecretPrompt {
  context: Pick<CommandContext, "stdin" | "stderr">;
  signal: AbortSignal;
}

/**
 * The value, without the line break that ends it.
 *
 * @throws SbxError `usage` for one that is empty, too long or no text, `aborted`
 */
export async function askSecretValue(name: string, prompt: SecretPrompt): Promise<string> {
  const value = prompt.context.stdin.isTTY === true ? await ask(name, prompt) : await readStdin(name, prompt);
  const fault = secretValueFault(value);
  if (fault !== null) throw usageError(`the value of ${name} ${fault}`, HINT);
  return value;
}

async function ask(name: string, { context, signal }: SecretPrompt): Promise<string> {
  const { default: inquirer } = await import("inquirer");
  try {
    const prompt = inquirer.createPromptModule({ input: context.stdin, output: context.stderr, signal });
    const question = { type: "password", name: "value", message: `Value of ${name}`, toggleMask: false } as const;
    return (await prompt<{ value: string }>([question])).value;
  } catch (error) {
    // inquirer's own names for Ctrl-C and for our signal.
    if (error instanceof Error && (error.name === "ExitPromptError" || error.name === "AbortPromptError")) {
      throw new SbxError("aborted", "nothing was stored");
    }
    throw error;
  }
}

async function readStdin(name: string, { context, signal }: SecretPrompt): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const { stdin } = context;
  const onAbort = (): void => void stdin.destroy(new SbxError("aborted", "nothing was stored"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      size += bytes.length;
      // Room for the line break.
      if (size > MAX_SECRET_BYTES + 2)
        throw usageError(`the value of ${name} is longer than ${MAX_SECRET_BYTES / 1024} KiB`);
      chunks.push(bytes);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
    return text.replace(/\r?\n$/, "");
  } catch {
    throw usageError(`the value of ${name} is not text in UTF-8`);
  }
}
