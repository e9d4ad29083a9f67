/**
 * Which context a command or program is for: the one that was named, or `SBX_CONTEXT`, or the one in use, or this
 * machine. There is no other way to another one: whatever is wrong with the choice is an error.
 */
import { statSync } from "node:fs";
import { SbxError } from "../errors.ts";
import type { Contexts } from "./context-file.ts";
import { isAddress, nameOfEndpoint, parseEndpoint, parseOrganisationName, parseToken } from "./endpoint.ts";
import { LOCAL_CONTEXT, LOCAL_TARGET, type Endpoints, type RuntimeTarget } from "./target.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export type ContextSource = "option" | "environment" | "file" | "default";

/** A context as it was chosen; perhaps one that nothing can be done in yet, for want of a token. */
export interface ChosenContext {
  name: string;
  source: ContextSource;
  /** Whether it is of the file: one that was named by its address is nowhere kept. */
  isStored: boolean;
  /** `null` for this machine. */
  endpoints: Endpoints | null;
  token: string | null;
  /** Where the token comes from. */
  tokenSource: "environment" | "file" | null;
}

export interface ContextWish {
  env: Environment;
  /** The file of contexts (context-file.ts). */
  filePath: string;
  /** A name or an address that goes before the environment. */
  named?: string | undefined;
}

/** @throws SbxError `context_not_found`, `usage`, `config_invalid` */
export async function chooseContext({ env, filePath, named }: ContextWish): Promise<ChosenContext> {
  const variable = given(env.SBX_CONTEXT);
  const wanted = named ?? variable;
  if (wanted === undefined) {
    if (isMissing(filePath)) return localContext("default");
    const { current, contexts } = await stored(filePath);
    return current === LOCAL_CONTEXT ? localContext("file") : storedContext(current, contexts, "file", null);
  }
  const source = named === undefined ? "environment" : "option";
  if (wanted === LOCAL_CONTEXT) return localContext(source);
  // A token in the environment is for the server that the environment names, or else for the one that is named here.
  const token = variable === undefined || variable === wanted ? (given(env.SBX_TOKEN) ?? null) : null;
  if (isAddress(wanted)) return addressedContext(wanted, env, source, token);
  const { contexts } = isMissing(filePath) ? { contexts: {} } : await stored(filePath);
  return storedContext(wanted, contexts, source, token);
}

/** What a runtime is opened from. @throws SbxError `not_authenticated` where there is no token */
export function targetOf({ name, endpoints, token }: ChosenContext): RuntimeTarget {
  if (endpoints === null) return LOCAL_TARGET;
  if (token !== null) return { kind: "remote", name, ...endpoints, token };
  throw new SbxError("not_authenticated", `there is no token for ${endpoints.endpoint}`, {
    hint: `sbx login ${endpoints.endpoint}, or give one in SBX_TOKEN together with SBX_CONTEXT`,
  });
}

function localContext(source: ContextSource): ChosenContext {
  return { name: LOCAL_CONTEXT, source, isStored: false, endpoints: null, token: null, tokenSource: null };
}

/** One that is nowhere stored. */
function addressedContext(text: string, env: Environment, source: ContextSource, token: string | null): ChosenContext {
  const endpoint = parseEndpoint(text);
  const organisation = given(env.SBX_ORG);
  return {
    ...{ name: nameOfEndpoint(endpoint), source, isStored: false },
    endpoints: {
      endpoint,
      sandboxEndpoint: null,
      organisation: organisation === undefined ? null : parseOrganisationName(organisation),
    },
    ...withToken(token, null),
  };
}

function storedContext(
  name: string,
  contexts: Contexts["contexts"],
  source: ContextSource,
  ofEnvironment: string | null,
): ChosenContext {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (found === undefined) {
    const where = source === "environment" ? ", which SBX_CONTEXT names" : "";
    throw new SbxError("context_not_found", `there is no context ${JSON.stringify(name.slice(0, 80))}${where}`, {
      hint: "sbx context list",
    });
  }
  const { endpoint, sandboxEndpoint, organisation, token } = found;
  const endpoints = { endpoint, sandboxEndpoint, organisation };
  return { name, source, isStored: true, endpoints, ...withToken(ofEnvironment, token) };
}

function withToken(ofEnvironment: string | null, ofFile: string | null): Pick<ChosenContext, "token" | "tokenSource"> {
  if (ofEnvironment !== null) return { token: parseToken(ofEnvironment), tokenSource: "environment" };
  return { token: ofFile, tokenSource: ofFile === null ? null : "file" };
}

/** Not there, and not merely out of reach. */
function isMissing(filePath: string): boolean {
  try {
    statSync(filePath);
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR";
  }
}

/** Reading the file takes a parser, which most commands get along without. */
async function stored(filePath: string): Promise<Contexts> {
  return (await import("./context-file.ts")).readContexts(filePath);
}

function given(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}
