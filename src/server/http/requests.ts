/** REST calls, and what the operator asks. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { CONTROL_HEADER, CONTROL_PATH, CONTROL_VERSION } from "../../protocol/control-call.ts";
import { ApiError, toApiError } from "../api-error.ts";
import { openApiDocument } from "../api/openapi.ts";
import { OPERATOR_PATHS, ROUTES, UPGRADES } from "../api/routes.ts";
import { matchPath, matchRoute, type Answer, type MatchedRoute, type Route } from "../api/route.ts";
import type { ControlPlane } from "../control-plane.ts";
import { failureText } from "../server-log.ts";
import { authenticate, requireScope, type Caller } from "../tokens/authenticate.ts";
import { errorAnswer, sendAnswer, TRACE_HEADER } from "./answers.ts";
import { ownEnvironment } from "./own-environment.ts";
import { requestUrl } from "./public-url.ts";
import { readJsonBody, readQuery } from "./request-body.ts";
import { sendStream } from "./stream-answer.ts";

/** Answers a request. Never throws. */
export async function serveRequest(
  plane: ControlPlane,
  request: IncomingMessage,
  response: ServerResponse,
  traceId: string,
): Promise<void> {
  const begun = performance.now();
  const { log, config } = plane.options;
  const url = requestUrl(request, config.publicUrl);
  if (request.method === "GET" && answerOperator(plane, url?.pathname, response, traceId)) return;
  const facts: RequestFacts = { route: "none", traceId, ending: new AbortController() };
  let answer: Answer;
  try {
    answer = withControl(await answerRequest(plane, request, response, url, facts), url);
    if (isStream(answer)) await carryStream(plane, response, answer, facts);
  } catch (error) {
    const failure = response.destroyed
      ? new ApiError("CLIENT_GONE", "the client is gone", { cause: error })
      : toApiError(error);
    facts.code = failure.code;
    if (failure.status === 500) log.write("error", "failure", { trace: traceId, error: failureText(error) });
    answer = errorAnswer(failure, isControl(url));
    // What is left of a body that was refused is not waited for.
    if (!request.complete) answer = { ...answer, headers: { ...answer.headers, connection: "close" } };
  }
  answer = withControl(answer, url);
  if (!response.headersSent && !response.destroyed) sendAnswer(response, answer, traceId);
  else if (!response.writableEnded) response.destroy(); // a stream that failed: no client may take it for whole
  const seconds = (performance.now() - begun) / 1000;
  plane.metrics.request(facts.route, answer.status, seconds);
  log.write("info", "request", {
    ...{ trace: traceId, method: request.method ?? "", route: facts.route, status: answer.status },
    ...{ ms: Math.round(seconds * 1000), organisation: facts.caller?.organisation, token: facts.caller?.tokenId },
    ...(facts.code === undefined ? {} : { code: facts.code }),
  });
}

/** Whether a client of sbx's own asks (protocol/control-call.ts). */
function isControl(url: URL | undefined): boolean {
  return url?.pathname.startsWith(`${CONTROL_PATH}/`) === true;
}

/** Every answer of these calls says that it is one. */
function withControl(answer: Answer, url: URL | undefined): Answer {
  if (!isControl(url)) return answer;
  return { ...answer, headers: { ...answer.headers, [CONTROL_HEADER]: String(CONTROL_VERSION) } };
}

interface RequestFacts {
  route: string;
  traceId: string;
  caller?: Caller;
  code?: string;
  /** Of an answer that is a stream. */
  ending: AbortController;
}

type StreamAnswer = Answer & Required<Pick<Answer, "stream">>;

function isStream(answer: Answer): answer is StreamAnswer {
  return answer.stream !== undefined;
}

/** A stream is a connection like any other: it ends with its token, and with the server. */
async function carryStream(
  plane: ControlPlane,
  response: ServerResponse,
  answer: StreamAnswer,
  { ending, caller, traceId }: RequestFacts,
): Promise<void> {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const close = (_code: number, reason: string): void => ending.abort(new Error(reason));
  const tracked = caller === undefined ? undefined : plane.relays.track({ closed, close }, caller);
  try {
    await sendStream(response, answer, { traceId, ending: ending.signal });
  } finally {
    resolve();
    await tracked;
  }
}

async function answerRequest(
  plane: ControlPlane,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL | undefined,
  facts: RequestFacts,
): Promise<Answer> {
  const { tokens, now, environment, version, log } = plane.options;
  if (url === undefined) throw new ApiError("INVALID_REQUEST", "the request has no host, or its target is no path");
  const { route, params } = findRoute(request.method ?? "", url.pathname);
  facts.route = `${route.method} ${route.path}`;
  const caller = authenticate(tokens, request, now());
  facts.caller = caller;
  requireScope(caller, route.scope);
  const query = route.query === null ? undefined : parse(route.query, readQuery(url.searchParams));
  const body = route.body === null ? undefined : parse(route.body, await readBody(plane, route, request, caller));
  const tenant = await plane.tenants.open(caller.organisation);
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the client is gone")));
  const ending = AbortSignal.any([gone.signal, facts.ending.signal, plane.draining]);
  const call = {
    tenant,
    params,
    query,
    body,
    url,
    now: now(),
    caller,
    doors: plane.doors,
    accept: request.headers.accept,
    signal: gone.signal,
    ending,
  };
  const onFailure = (failure: ApiError): void => {
    facts.code = failure.code;
    if (failure.status === 500) log.write("error", "failure", { trace: facts.traceId, error: failureText(failure) });
  };
  return route.handle({ ...call, onFailure, environment: ownEnvironment(environment), version });
}

/** Few long bodies are taken at one time: they are in memory as a whole. */
async function readBody(plane: ControlPlane, route: Route, request: IncomingMessage, caller: Caller): Promise<unknown> {
  if (route.maxBodyBytes === undefined) return readJsonBody(request);
  using _place = plane.longBodies.take();
  return await readJsonBody(request, route.maxBodyBytes(plane.options.config.quotasOf(caller.organisation)));
}

function findRoute(method: string, pathname: string): MatchedRoute {
  const isUpgrade = Object.values(UPGRADES).some(({ path }) => matchPath(path, pathname) !== undefined);
  if (method === "GET" && isUpgrade) throw new ApiError("UPGRADE_REQUIRED", "this is the place of another protocol");
  const found = matchRoute(ROUTES, method, pathname);
  if ("route" in found) return found;
  const allow = isUpgrade ? ["GET", ...found.methods] : found.methods;
  if (allow.length > 0) {
    throw new ApiError("METHOD_NOT_ALLOWED", `${method} is not one of ${allow.join(", ")}`, { allow });
  }
  throw new ApiError("NOT_FOUND", "there is nothing here");
}

function parse(schema: z.core.$ZodType, value: unknown): unknown {
  const parsed = z.safeParse(schema, value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.map(String).join(".") ?? "";
  throw new ApiError("INVALID_REQUEST", `${place === "" ? "" : `${place}: `}${issue?.message ?? "invalid"}`);
}

/** False where the path is another one. */
function answerOperator(
  plane: ControlPlane,
  pathname: string | undefined,
  response: ServerResponse,
  traceId: string,
): boolean {
  switch (pathname) {
    case OPERATOR_PATHS.health:
      sendAnswer(response, { status: 200, body: { status: "ok" } }, traceId);
      return true;
    case OPERATOR_PATHS.readiness: {
      const isReady = !plane.draining.aborted;
      sendAnswer(response, { status: isReady ? 200 : 503, body: { status: isReady ? "ready" : "draining" } }, traceId);
      return true;
    }
    case OPERATOR_PATHS.metrics:
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8", [TRACE_HEADER]: traceId });
      response.end(plane.metrics.render(plane.gauges()));
      return true;
    case OPERATOR_PATHS.openApi:
      sendAnswer(response, { status: 200, body: openApiDocument(plane.options.version) }, traceId);
      return true;
    default:
      return false;
  }
}
