/** Host names of sandboxes, as SSH clients have them: `NAME.sbx` on this machine, `NAME.CONTEXT.sbx` on a server. */
import type { ChosenContext } from "../../runtime/contexts/choose-context.ts";
import { CONTEXT_NAME, isAddress, nameOfEndpoint, parseEndpoint } from "../../runtime/contexts/endpoint.ts";
import { LOCAL_CONTEXT } from "../../runtime/contexts/target.ts";
import { parseSandboxRef } from "../parsers/names.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What ssh is given for a sandbox of a context, and what the sbx that it starts finds the context by. */
export function sshTarget(name: string, chosen: ChosenContext, env: Environment): { host: string; env: Environment } {
  const { endpoints, isStored, name: context } = chosen;
  if (endpoints === null) return { host: name, env };
  return { host: `${name}.${context}`, env: isStored ? env : { ...env, SBX_CONTEXT: endpoints.endpoint } };
}

/**
 * @param host without `.sbx`
 * @returns what the sandbox is called, and the name or address of its context
 */
export function readSshHost(host: string, env: Environment): { ref: string; context: string } {
  const dot = host.lastIndexOf(".");
  if (dot === -1) return { ref: parseSandboxRef(host), context: LOCAL_CONTEXT };
  const ref = parseSandboxRef(host.slice(0, dot));
  const label = host.slice(dot + 1);
  if (ref.includes(".") || !CONTEXT_NAME.test(label)) {
    throw usageError(`${quoteValue(host)} is no host of sbx's`, "NAME.sbx, or NAME.CONTEXT.sbx");
  }
  return { ref, context: addressOf(label, env) ?? label };
}

/** One that is only named by its address, in the environment, has a name that is made of it. */
function addressOf(label: string, { SBX_CONTEXT: text = "" }: Environment): string | undefined {
  if (!isAddress(text)) return undefined;
  try {
    return nameOfEndpoint(parseEndpoint(text)) === label ? text : undefined;
  } catch {
    return undefined; // It is none, and so not this one.
  }
}
