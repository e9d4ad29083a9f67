/** Where a program wants its sandboxes: what it may say to `connect`, and what is meant by it. */
import path from "node:path";
import {
  isAddress,
  nameOfEndpoint,
  parseEndpoint,
  parseOrganisationName,
  parseToken,
} from "../runtime/contexts/endpoint.ts";
import { LOCAL_CONTEXT, type RemoteTarget, type RuntimeTarget } from "../runtime/contexts/target.ts";
import type { Settings } from "../runtime/defaults.ts";
import { SbxError } from "../runtime/errors.ts";

/** The runtime of this machine, of a context that the command line has logged in to, or of a server. */
export type ConnectOptions = LocalConnectOptions | ContextConnectOptions | ServerConnectOptions;

export interface LocalConnectOptions {
  context?: "local";
  /** Directory of all state, absolute, as `SBX_HOME` is for the command line; the user's own if absent. */
  home?: string;
  /** What a sandbox gets where its own specification says nothing. The command line's configuration is not read. */
  settings?: Partial<Settings>;
}

export interface ContextConnectOptions {
  /** As `sbx context list` has it. The one that the command line uses, or `SBX_CONTEXT` names, is not looked at. */
  context: string;
}

export interface ServerConnectOptions {
  /** Of a server that `sbx serve` runs, or that has the published API: `https://HOST[:PORT]`. */
  url: string;
  token: string;
  /** A token that is for several organisations needs one. */
  organisation?: string;
  /** Where its sandboxes are reached, if that is another address. */
  sandboxUrl?: string;
  /** Takes an address without TLS that is not this machine's. */
  insecureHttp?: boolean;
}

/** All options that there are, each as it was given. */
export type GivenOptions = { [K in OptionName]?: AllOptions[K] };
type AllOptions = Omit<LocalConnectOptions, "context"> & ServerConnectOptions & ContextConnectOptions;
type OptionName = keyof AllOptions;

const LOCAL_OPTIONS = ["context", "home", "settings"] as const;
const SERVER_OPTIONS = ["url", "token", "organisation", "sandboxUrl", "insecureHttp"] as const;

/**
 * The caller may be plain JavaScript: what would be ignored silently could be what says where code runs.
 *
 * @throws SbxError `usage`
 */
export function readOptions(options: object): GivenOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as GivenOptions;
  const isServer = given.url !== undefined;
  const isElsewhere = given.context !== undefined && given.context !== LOCAL_CONTEXT;
  const known: readonly string[] = isServer ? SERVER_OPTIONS : isElsewhere ? ["context"] : LOCAL_OPTIONS;
  const stray = Object.keys(given).find((name) => !known.includes(name));
  if (stray !== undefined) {
    const kind = isServer ? "a server" : isElsewhere ? "a context" : "this machine";
    throw new SbxError("usage", `${stray} is no option for ${kind}`, { hint: `there are ${known.join(", ")}` });
  }
  if (given.home !== undefined && !path.isAbsolute(given.home)) {
    throw new SbxError("usage", `home must be an absolute path, not ${JSON.stringify(given.home)}`);
  }
  return given;
}

export function serverTarget(given: GivenOptions): RemoteTarget {
  const { url = "", token, organisation, sandboxUrl, insecureHttp: insecure = false } = given;
  if (typeof token !== "string") throw new SbxError("usage", "a server needs a token", { hint: "{ url, token }" });
  const endpoint = parseEndpoint(url, { insecure });
  return {
    ...{ kind: "remote", name: nameOfEndpoint(endpoint), endpoint, token: parseToken(token) },
    sandboxEndpoint: sandboxUrl === undefined ? null : parseEndpoint(sandboxUrl, { insecure }),
    organisation: organisation === undefined ? null : parseOrganisationName(organisation),
  };
}

export async function contextTarget(named: string): Promise<RuntimeTarget> {
  if (typeof named !== "string" || isAddress(named)) {
    throw new SbxError("usage", `${JSON.stringify(named)} is no context's name`, {
      hint: "{ url, token } for a server",
    });
  }
  const [{ chooseContext, targetOf }, { contextsPath }] = await Promise.all([
    import("../runtime/contexts/choose-context.ts"),
    import("../runtime/contexts/contexts-path.ts"),
  ]);
  // Variables are for commands; only where the file lies is the environment's to say.
  return targetOf(await chooseContext({ env: {}, filePath: contextsPath(process.env), named }));
}
