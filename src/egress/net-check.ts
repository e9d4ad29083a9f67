/** `sbx net check`: asks the enforcement's own functions about a request or a connection that nobody makes. */
import type { CheckAnswer, CheckCall } from "../protocol/net-calls.ts";
import { canonicalHost } from "../policy/host-name.ts";
import type { ConnectionTarget, Decision, RequestTarget } from "../policy/spec.ts";
import { SbxError } from "../runtime/errors.ts";
import type { LivePolicy } from "./live-policy.ts";
import { UpstreamError } from "./upstream/upstream.ts";

const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

export interface CheckContext {
  policy: LivePolicy;
  decideRequest: (target: RequestTarget, signal: AbortSignal) => Promise<Decision>;
  /** Whether every request there is read. */
  mustRead: (target: ConnectionTarget) => boolean;
  /** Names of the secrets that are put in there. */
  secretsFor: (target: ConnectionTarget & { scheme: "http" | "https" }) => readonly string[];
  /** Looks the target up as a connection would. @throws UpstreamError where it has no address that may be dialled */
  checkAddresses: (target: ConnectionTarget, signal: AbortSignal) => Promise<void>;
}

/** @throws SbxError `usage` for what is no URL of a kind that could be checked */
export async function checkCall({ method, url }: CheckCall, context: CheckContext): Promise<CheckAnswer> {
  const parsed = parseUrl(url);
  const { scheme, host, port, target } = parsed;
  const { signal } = new AbortController();
  const connection = context.policy.current.decideConnection(parsed);
  const denied = (decision: Decision): CheckAnswer => ({ decision, carried: null, secrets: [] });
  if (connection.verdict === "deny") return denied(plain(connection));
  const asked =
    scheme === "tcp"
      ? plain(connection)
      : await context.decideRequest({ scheme, host, port, target, method: method.toUpperCase() }, signal);
  const decision = asked.verdict === "deny" ? asked : await withAddresses(asked, { host, port }, context, signal);
  if (decision.verdict === "deny") return denied(decision);
  const carried = scheme === "http" ? "plain" : context.mustRead(parsed) ? "intercept" : "tunnel";
  const secrets = carried === "tunnel" || scheme === "tcp" ? [] : context.secretsFor({ host, port, scheme });
  return { decision, carried, secrets };
}

/** A name that is allowed may have no address that is, and one that cannot be looked up is allowed nevertheless. */
async function withAddresses(
  decision: Decision,
  target: ConnectionTarget,
  { checkAddresses }: CheckContext,
  signal: AbortSignal,
): Promise<Decision> {
  try {
    await checkAddresses(target, signal);
    return decision;
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    return error.decision ?? { ...decision, reason: `${decision.reason}, but ${error.message}` };
  }
}

function plain({ verdict, rule, reason, fix }: Decision): Decision {
  return { verdict, rule, reason, fix };
}

function parseUrl(text: string): ConnectionTarget & { scheme: "http" | "https" | "tcp"; target: string } {
  const wrong = (why: string): SbxError =>
    new SbxError("usage", `${JSON.stringify(text.slice(0, 200))} cannot be checked: ${why}`, {
      hint: "sbx net check SANDBOX GET https://api.example.com/v1/models, or tcp://db.example.com:5432",
    });
  const url = URL.parse(text);
  if (url === null) throw wrong("it is not a URL");
  if (url.username !== "" || url.password !== "") throw wrong("it has a user name");
  const scheme = url.protocol === "http:" ? "http" : url.protocol === "https:" ? "https" : "tcp";
  if (scheme === "tcp" && url.protocol !== "tcp:") throw wrong(`nothing decides on ${url.protocol}`);
  const host = canonicalHost(url.hostname.replace(/^\[|\]$/g, ""));
  if (host === null) throw wrong("its host is none");
  const port = url.port === "" ? DEFAULT_PORTS[url.protocol] : Number(url.port);
  if (port === undefined) throw wrong("it has no port");
  return { scheme, host, port, target: writtenTarget(text) ?? `${url.pathname}${url.search}` };
}

/** As a client would send it that sends what it was given: with its `..`, about which rules have an opinion. */
function writtenTarget(text: string): string | undefined {
  const [, rest] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\\]*([^#]*)/i.exec(text.trim().toWellFormed()) ?? [];
  const target = rest?.replaceAll(/[^\x21-\x7e]/gu, encodeURIComponent);
  return target?.startsWith("/") === false ? `/${target}` : target;
}
