/** What a route is: its place, who may ask, what is read of a request (parsed before the handler sees it), the answer. */
import type { z } from "zod";
import type { ApiCode, ApiError } from "../api-error.ts";
import type { Quotas } from "../config.ts";
import type { Doors } from "../doors.ts";
import type { Tenant } from "../organisations/tenant.ts";
import type { Caller } from "../tokens/authenticate.ts";
import type { CallerEnvironment } from "../../runtime/types.ts";
import type { Scope } from "../tokens/token-format.ts";

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

export interface Call<Query, Body> {
  tenant: Tenant;
  /** Decoded parts of the path, by the names after the colons. */
  params: Readonly<Record<string, string>>;
  query: Query;
  body: Body;
  /** The request's own URL as the client can reach it, for links. */
  url: URL;
  /** Epoch `ms`. */
  now: number;
  caller: Caller;
  doors: Doors;
  /** What the client takes; for answers that have two forms. */
  accept: string | undefined;
  /** Fires when the client is gone. */
  signal: AbortSignal;
  /** Fires when an answer that is a stream has to end: the client is gone, its token does not hold any more, the server ends. */
  ending: AbortSignal;
  /** What the runtime is to see of the server's own environment. */
  environment: NonNullable<CallerEnvironment["environment"]>;
  /** Told what an answer that is a stream fails with, for the log: its status has been sent by then. */
  onFailure: (error: ApiError) => void;
  /** Of the server. */
  version: string;
}

export interface Answer {
  status: number;
  /** JSON; absent for none. */
  body?: unknown;
  /** In place of `body`, as fast as the client takes it; its type is among `headers`. It ends by itself at `Call.ending`. */
  stream?: AsyncIterable<string | Uint8Array>;
  headers?: Readonly<Record<string, string>>;
}

interface RouteFacts {
  method: Method;
  /** Parts of it that begin with a colon are parameters. */
  path: string;
  summary: string;
  scope: Scope;
  /** What an answer that succeeds holds, by its status; `null` for nothing. Its type is JSON if it is none of `types`;
   * `lines` is of each line for a client that may ask for them instead. */
  success: { status: number; schema: z.core.$ZodType | null; types?: readonly string[]; lines?: z.core.$ZodType };
  /** Beside those that every route may answer with. */
  errors: readonly ApiCode[];
  /** How long a body may be, `bytes`; of the usual length if absent. */
  maxBodyBytes?: (quotas: Quotas) => number;
}

export interface Route extends RouteFacts {
  query: z.core.$ZodType | null;
  body: z.core.$ZodType | null;
  handle(call: Call<unknown, unknown>): Promise<Answer>;
}

export interface RouteSpec<Query extends z.core.$ZodType, Body extends z.core.$ZodType> extends RouteFacts {
  query?: Query;
  body?: Body;
  handle(call: Call<z.output<Query>, z.output<Body>>): Promise<Answer>;
}

/** The handler is given what its schemas have read. */
export function route<Query extends z.core.$ZodType = z.ZodUndefined, Body extends z.core.$ZodType = z.ZodUndefined>(
  spec: RouteSpec<Query, Body>,
): Route {
  const { query = null, body = null } = spec;
  return {
    ...spec,
    query,
    body,
    // The server calls it with what these very schemas returned.
    handle: (call) => spec.handle(call as Call<z.output<Query>, z.output<Body>>),
  };
}

export interface MatchedRoute {
  route: Route;
  params: Record<string, string>;
}

/** The route for a path; `methods` are those that the path has where it has not this one. */
export function matchRoute(
  routes: readonly Route[],
  method: string,
  pathname: string,
): MatchedRoute | { methods: string[] } {
  const methods: string[] = [];
  for (const candidate of routes) {
    const params = matchPath(candidate.path, pathname);
    if (params === undefined) continue;
    if (candidate.method === method) return { route: candidate, params };
    methods.push(candidate.method);
  }
  return { methods };
}

/** Undefined where it does not fit, or is no path that anybody could mean. */
export function matchPath(pattern: string, pathname: string): Record<string, string> | undefined {
  const wanted = pattern.split("/");
  const given = pathname.split("/");
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const text = given[at] ?? "";
    if (!part.startsWith(":")) {
      if (part !== text) return undefined;
      continue;
    }
    const value = decodePart(text);
    if (value === undefined || value === "") return undefined;
    params[part.slice(1)] = value;
  }
  return params;
}

function decodePart(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // A per cent sign with nothing to it.
  }
}
