/** The calls of protocol/net-calls.ts, as a client of one sandbox's socket. */
import type { Verdict } from "../../../policy/spec.ts";
import {
  MAX_NET_ANSWER_BYTES,
  NET_CHECK_TARGET,
  NET_DENIED_TARGET,
  NET_RULES_TARGET,
  NET_TARGET,
  SECRETS_TARGET,
  type CheckAnswer,
  type CheckCall,
  type NetDenial,
  type NetView,
  type RulesAnswer,
  type RulesCall,
  type SecretsAnswer,
  type SecretsCall,
} from "../../../protocol/net-calls.ts";
import { SbxError } from "../../errors.ts";
import { callSupervisor } from "../supervisor-client.ts";

/** A verdict may have to wait for a rule in JavaScript, which has seconds, `ms`. */
const TIMEOUT_MS = 30_000;

interface Target {
  socketPath: string;
  signal?: AbortSignal | undefined;
}

export async function fetchNetwork(target: Target): Promise<NetView> {
  return (await call(target, "GET", NET_TARGET)) as NetView;
}

export async function fetchDenied(target: Target): Promise<NetDenial[]> {
  return (await call(target, "GET", NET_DENIED_TARGET)) as NetDenial[];
}

export async function checkNetwork(target: Target, request: CheckCall): Promise<CheckAnswer> {
  return (await call(target, "POST", NET_CHECK_TARGET, JSON.stringify(request))) as CheckAnswer;
}

export async function changeNetwork(target: Target, verdict: Verdict, hosts: readonly string[]): Promise<RulesAnswer> {
  const request: RulesCall = { verdict, hosts: [...hosts] };
  return (await call(target, "POST", NET_RULES_TARGET, JSON.stringify(request))) as RulesAnswer;
}

/** @param body of the first call (network-launch.ts), or new values */
export async function sendSecrets(target: Target, body: string | SecretsCall): Promise<SecretsAnswer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return (await call(target, "PUT", SECRETS_TARGET, text)) as SecretsAnswer;
}

async function call({ socketPath, signal }: Target, method: string, path: string, body?: string): Promise<unknown> {
  return callSupervisor(socketPath, method, path, {
    ...(body === undefined ? {} : { body }),
    ...{ signal, timeoutMs: TIMEOUT_MS, maxAnswerBytes: MAX_NET_ANSWER_BYTES, refused },
  });
}

function refused(status: number, message: string): SbxError {
  // A pattern or URL that does not parse: the supervisor says the same as the command line would.
  if (status === 400) return new SbxError("usage", message);
  return new SbxError("guest_error", message);
}
