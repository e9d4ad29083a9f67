/** The file of contexts, for the commands that keep it. */
import { contextsPath } from "../../runtime/contexts/contexts-path.ts";
import { CONTEXT_NAME } from "../../runtime/contexts/endpoint.ts";
import { LOCAL_CONTEXT } from "../../runtime/contexts/target.ts";
import type { Contexts, StoredContext } from "../../runtime/contexts/context-file.ts";
import { SbxError } from "../../runtime/errors.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

export type { Contexts, StoredContext };

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws SbxError `config_invalid` */
export async function loadContexts(env: Environment): Promise<Contexts> {
  return (await import("../../runtime/contexts/context-file.ts")).readContexts(contextsPath(env));
}

/**
 * Changes what is in the file at this moment, and writes it. Returns what the change does.
 *
 * @throws SbxError `config_invalid`, `file_error`, and whatever the change throws: then nothing is written
 */
export async function changeContexts<T>(env: Environment, change: (contexts: Contexts) => T): Promise<T> {
  const { readContexts, writeContexts } = await import("../../runtime/contexts/context-file.ts");
  const filePath = contextsPath(env);
  const contexts = readContexts(filePath);
  const answer = change(contexts);
  await writeContexts(filePath, contexts);
  return answer;
}

/** @throws SbxError `context_not_found` */
export function findStored({ contexts }: Contexts, name: string): StoredContext {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (found !== undefined) return found;
  throw new SbxError("context_not_found", `there is no context ${quoteValue(name)}`, { hint: "sbx context list" });
}

/** A name for a new context. @throws SbxError `usage` */
export function parseContextName(text: string): string {
  if (text === LOCAL_CONTEXT) throw usageError("the context local is this machine", "give another --name");
  if (CONTEXT_NAME.test(text)) return text;
  throw usageError(
    `${quoteValue(text)} cannot be the name of a context`,
    "use up to 63 lower-case letters, digits and dashes, no dash at an end",
  );
}
