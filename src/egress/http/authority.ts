/**
 * What a request says of where it goes, against what its connection was opened for. The guest is hostile: whatever is
 * not exactly right is refused, and what is right is written anew for the upstream, never copied.
 */
import { isIPv6, SocketAddress } from "node:net";
import { Refusal } from "./refusal.ts";

/** The connection's name and port, which DNS and SNI were found to agree with. */
export interface Authority {
  scheme: "http" | "https";
  host: string;
  port: number;
}

/** Target characters: RFC 3986's and those that clients send raw all the same; no space, no control, no fragment. */
const TARGET = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;
const ABSOLUTE_FORM = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?]*)(.*)$/;
/** As RFC 9110, 9.1, has them; one in lower case would pass a rule that names it and may mean the same upstream. */
const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;

export function defaultPort(scheme: "http" | "https"): number {
  return scheme === "https" ? 443 : 80;
}

/** Whether Node, and any upstream, takes it for one target. */
export function isSendableTarget(text: string): boolean {
  return TARGET.test(text) && (text.startsWith("/") || text === "*");
}

/** As `Host` and `:authority` have it. */
export function writeAuthority({ scheme, host, port }: Authority): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === defaultPort(scheme) ? name : `${name}:${port}`;
}

/** @throws Refusal */
export function checkMethod(method: string): void {
  if (method === "CONNECT") throw new Refusal(405, "unsupported", "CONNECT is not answered here: connect to the host");
  if (!METHOD.test(method)) throw new Refusal(400, "bad_request", "the request's method is not valid");
}

/** @throws Refusal 421 for another host or port, 400 for what is none */
export function checkAuthority(text: string, authority: Authority): void {
  // As most clients have it.
  if (text === writeAuthority(authority)) return;
  if (text.includes("@")) throw new Refusal(400, "bad_request", "the request's authority holds user information");
  const parsed = parseAuthority(text, defaultPort(authority.scheme));
  if (parsed === null) throw new Refusal(400, "bad_request", "the request's authority is not valid");
  if (parsed.host === authority.host && parsed.port === authority.port) return;
  throw new Refusal(
    421,
    "misdirected_request",
    `the request is for another host than its connection, which is for ${writeAuthority(authority)}`,
  );
}

/**
 * Path and query of a request-target. An absolute form has to name the connection's own authority.
 *
 * @throws Refusal
 */
export function readTarget(text: string, method: string, authority: Authority): string {
  if (!TARGET.test(text)) throw new Refusal(400, "bad_request", "the request's target has a forbidden character");
  if (text.startsWith("/")) return text;
  if (text === "*" && method === "OPTIONS") return text;
  const [, scheme, named, rest] = ABSOLUTE_FORM.exec(text) ?? [];
  if (scheme === undefined || named === undefined || rest === undefined) {
    throw new Refusal(400, "bad_request", "the request's target is not a path");
  }
  if (scheme.toLowerCase() !== authority.scheme) {
    throw new Refusal(421, "misdirected_request", `this connection is for ${authority.scheme} requests`);
  }
  checkAuthority(named, authority);
  if (rest === "" && method === "OPTIONS") return "*"; // RFC 9112, 3.2.4
  return rest.startsWith("/") ? rest : `/${rest}`;
}

function parseAuthority(text: string, portWithout: number): { host: string; port: number } | null {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:]+))(?::([0-9]{1,5}))?$/.exec(text);
  if (parts === null) return null;
  const [, literal, name, digits] = parts;
  const port = digits === undefined ? portWithout : Number(digits);
  if (literal !== undefined) {
    const address = isIPv6(literal) ? SocketAddress.parse(`[${literal}]`)?.address : undefined;
    return address === undefined ? null : { host: address, port };
  }
  // One final dot makes a name absolute, and it is the same name; the upstream is sent the name without it.
  const host = (name ?? "").toLowerCase().replace(/\.$/, "");
  return host === "" ? null : { host, port };
}
