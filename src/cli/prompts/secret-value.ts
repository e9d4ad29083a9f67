/** A secret's value: asked for without showing it, or all of stdin where that is no terminal. Never an argument. */
import { MAX_SECRET_BYTES, secretValueFault } from "../../protocol/secret-value.ts";
import { usageError } from "../parsers/usage-error.ts";
import { askHidden, readHidden, type HiddenPrompt } from "./hidden-text.ts";

const HINT = "type it where it is asked for, or pipe it to this command: one line, as it goes into a header";

/**
 * The value, without the line break that ends it.
 *
 * @throws SbxError `usage` for one that is empty, too long or no text, `aborted`
 */
export async function askSecretValue(name: string, prompt: HiddenPrompt): Promise<string> {
  const isTyped = prompt.context.stdin.isTTY === true;
  const what = `the value of ${name}`;
  const value = isTyped
    ? await askHidden(`Value of ${name}`, prompt)
    : await readHidden(what, MAX_SECRET_BYTES, prompt);
  const fault = secretValueFault(value);
  if (fault !== null) throw usageError(`${what} ${fault}`, HINT);
  return value;
}
