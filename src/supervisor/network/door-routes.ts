/** The network's part of the supervisor's socket (src/protocol/net-calls.ts): parses what it is sent, answers in JSON. */
import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod/mini";
import {
  checkCall,
  MAX_NET_BODY_BYTES,
  MAX_SECRETS_BODY_BYTES,
  NET_CHECK_TARGET,
  NET_DENIED_TARGET,
  NET_RULES_TARGET,
  NET_TARGET,
  rulesCall,
  SECRETS_TARGET,
  secretsCall,
  type CheckAnswer,
  type CheckCall,
  type NetDenial,
  type NetView,
  type RulesAnswer,
  type RulesCall,
  type SecretsAnswer,
  type SecretsCall,
} from "../../protocol/net-calls.ts";
import { SbxError, toErrorRecord } from "../../runtime/errors.ts";
import { readBody, sendJson } from "../door-http.ts";

/** The network of a sandbox, as its owner may look at it and change it. Failures are SbxErrors. */
export interface NetworkControl {
  setSecrets(call: SecretsCall): SecretsAnswer | Promise<SecretsAnswer>;
  view(): Promise<NetView>;
  /** Does not open the path: asked after every command. */
  readonly denied: readonly NetDenial[];
  check(call: CheckCall): Promise<CheckAnswer>;
  changeRules(call: RulesCall): RulesAnswer | Promise<RulesAnswer>;
}

interface Route {
  method: string;
  maxBytes: number;
  /** @throws ZodError, SbxError */
  answer: (control: NetworkControl, body: unknown) => unknown;
}

const ROUTES: Readonly<Record<string, Route>> = {
  [SECRETS_TARGET]: {
    method: "PUT",
    maxBytes: MAX_SECRETS_BODY_BYTES,
    answer: (control, body) => control.setSecrets(secretsCall().parse(body)),
  },
  [NET_TARGET]: { method: "GET", maxBytes: 0, answer: (control) => control.view() },
  [NET_DENIED_TARGET]: { method: "GET", maxBytes: 0, answer: (control) => control.denied },
  [NET_CHECK_TARGET]: {
    method: "POST",
    maxBytes: MAX_NET_BODY_BYTES,
    answer: (control, body) => control.check(checkCall().parse(body)),
  },
  [NET_RULES_TARGET]: {
    method: "POST",
    maxBytes: MAX_NET_BODY_BYTES,
    answer: (control, body) => control.changeRules(rulesCall().parse(body)),
  },
};

/** Answers a request about the network; false for one about something else. Never throws. */
export async function answerNetworkCall(
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  control: NetworkControl,
): Promise<boolean> {
  const route = Object.hasOwn(ROUTES, pathname) ? ROUTES[pathname] : undefined;
  if (route === undefined) return false;
  if (request.method !== route.method) {
    sendJson(response, 405, { code: "METHOD_NOT_ALLOWED", message: `${pathname} takes ${route.method}` });
    return true;
  }
  try {
    const body = await readBody(request, route.maxBytes);
    if (body === undefined) {
      sendJson(response, 413, { code: "BODY_TOO_LARGE", message: `a body has up to ${route.maxBytes} bytes here` });
      return true;
    }
    sendJson(response, 200, await route.answer(control, body === "" ? undefined : parseJson(body)));
  } catch (error) {
    sendJson(response, ...failure(error));
  }
  return true;
}

/** @throws SbxError `usage`. The body may hold secrets: none of it is quoted. */
function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new SbxError("usage", "the body is not JSON");
  }
}

function failure(error: unknown): [status: number, body: object] {
  if (error instanceof z.core.$ZodError) {
    // Where, but never what: the value may be a secret.
    const [issue] = error.issues;
    const where = issue === undefined ? "" : `${issue.path.map(String).join(".")}: ${issue.message}`;
    return [400, { code: "usage", message: `the body is not what this call takes: ${where}` }];
  }
  const record = toErrorRecord(error);
  const status = record.code === "usage" || record.code === "config_invalid" ? 400 : 500;
  return [status, record];
}
