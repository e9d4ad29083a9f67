/** A login: a token that a server takes, kept under a name. Arguments are the user's; the server is not trusted. */
import { isAddress, nameOfEndpoint, parseEndpoint } from "../../runtime/contexts/endpoint.ts";
import type { Endpoints, RemoteTarget } from "../../runtime/contexts/target.ts";
import type { Settings } from "../../runtime/defaults.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { CommandContext } from "../context.ts";
import { usageError } from "../parsers/usage-error.ts";
import { changeContexts, findStored, parseContextName, type Contexts } from "./change-contexts.ts";

/** Of a token that is one organisation's, which needs not be named. */
const ORGANISATION_PREFIX = "ddo_";

export interface LoginWish {
  /** An address, or the name of a context that is there. */
  server: string;
  name: string | undefined;
  organisation: string | undefined;
  sandboxEndpoint: string | undefined;
  insecure: boolean;
}

export interface LoginPlan extends Endpoints {
  name: string;
}

/** What is to be logged in to, before there is a token. @throws SbxError `usage`, `context_not_found` */
export function planLogin(wish: LoginWish, contexts: Contexts): LoginPlan {
  const { server, insecure } = wish;
  const known = isAddress(server) ? undefined : findStored(contexts, server);
  const endpoint = known?.endpoint ?? parseEndpoint(server, { insecure });
  const name = parseContextName(wish.name ?? (known === undefined ? nameOfEndpoint(endpoint) : server));
  const taken = Object.hasOwn(contexts.contexts, name) ? contexts.contexts[name] : undefined;
  if (taken !== undefined && taken.endpoint !== endpoint) {
    throw usageError(
      `the context ${name} is of another server, ${taken.endpoint}`,
      `give another --name, or sbx context remove ${name}`,
    );
  }
  const before = known ?? taken;
  const sandboxes = wish.sandboxEndpoint;
  return {
    ...{ name, endpoint },
    sandboxEndpoint:
      sandboxes === undefined ? (before?.sandboxEndpoint ?? null) : parseEndpoint(sandboxes, { insecure }),
    organisation: wish.organisation ?? before?.organisation ?? null,
  };
}

/** Whether the token says for whom it is, or somebody has. @throws SbxError `usage` */
export function requireOrganisation({ organisation, endpoint }: LoginPlan, token: string): void {
  if (organisation !== null || token.startsWith(ORGANISATION_PREFIX)) return;
  throw usageError(
    "a personal token may be for several organisations, and none was named",
    `sbx login ${endpoint} --org NAME`,
  );
}

export interface LoginCall {
  context: CommandContext;
  settings: Settings;
  signal: AbortSignal;
}

/** Asks the server for something that only a token gets. @throws SbxError `not_authenticated`, or why it is not reached */
export async function verifyLogin(plan: LoginPlan, token: string, call: LoginCall): Promise<void> {
  const { name, endpoint, sandboxEndpoint, organisation } = plan;
  const target: RemoteTarget = { kind: "remote", name, endpoint, sandboxEndpoint, organisation, token };
  await using runtime = await call.context.openRuntime(call.settings, target);
  try {
    await runtime.list({ signal: call.signal });
  } catch (error) {
    if (!(error instanceof SbxError) || error.code !== "not_authenticated") throw error;
    throw new SbxError("not_authenticated", `${endpoint} does not take this token: ${error.message}`, {
      cause: error.cause,
      hint: "make one there: sbx token create",
    });
  }
}

/** Keeps it; commands use it from now on. */
export async function keepLogin(plan: LoginPlan, token: string, { context }: LoginCall): Promise<void> {
  const { name, endpoint, sandboxEndpoint, organisation } = plan;
  await changeContexts(context.env, (contexts) => {
    contexts.contexts[name] = { endpoint, sandboxEndpoint, organisation, token, since: context.now() };
    contexts.current = name;
  });
}
