/** Whether a connection goes by way of the user's proxy, as curl decides it (NO_PROXY: curl 7.86 and later). */
import { isIP } from "node:net";
import { findAddress, findRange, rangeContains } from "../../policy/ip-address.ts";
import type { ProxySettings } from "../../policy/proxy-settings.ts";
import type { ConnectionTarget } from "../../policy/spec.ts";

export interface Proxy {
  scheme: "http" | "https";
  host: string;
  port: number;
  /** Of `Proxy-Authorization`; `null` for a proxy that wants none. */
  authorization: string | null;
}

const HTTP_PORT = 80;
const LOOPBACK = [findRange("127.0.0.0/8"), findRange("::1")].filter((range) => range !== undefined);

/** The proxy for `target`, or `null` where it is dialled directly. */
export function chooseProxy(settings: ProxySettings | null, target: ConnectionTarget): Proxy | null {
  if (settings === null) return null;
  const url = target.port === HTTP_PORT ? settings.http : settings.https;
  if (url === null || isLoopback(target.host)) return null;
  return settings.noProxy.some((entry) => matches(entry, target)) ? null : readProxy(url);
}

/** A proxy's own loopback is not this machine's. */
function isLoopback(host: string): boolean {
  const address = findAddress(host);
  if (address === undefined) return host === "localhost" || host.endsWith(".localhost");
  return LOOPBACK.some((range) => rangeContains(range, address));
}

/** @param entry `*`, a name with all below it, an address, a range; perhaps with a port */
function matches(entry: string, { host, port }: ConnectionTarget): boolean {
  if (entry === "*") return true;
  const { name, port: only } = splitPort(entry);
  if (only !== null && only !== port) return false;
  const address = findAddress(host);
  if (address !== undefined) {
    const range = findRange(name);
    return range !== undefined && rangeContains(range, address);
  }
  const suffix = name.replace(/^\*?\./, "").replace(/\.$/, "");
  return suffix !== "" && (host === suffix || host.endsWith(`.${suffix}`));
}

function splitPort(entry: string): { name: string; port: number | null } {
  const bracketed = /^\[([^\]]+)\](\/\d+)?(?::(\d+))?$/.exec(entry);
  if (bracketed !== null) return toParts((bracketed[1] ?? "") + (bracketed[2] ?? ""), bracketed[3]);
  const parts = /^([^:]+):(\d+)$/.exec(entry);
  return parts === null ? { name: entry, port: null } : toParts(parts[1] ?? "", parts[2]);
}

function toParts(name: string, digits: string | undefined): { name: string; port: number | null } {
  return { name, port: digits === undefined ? null : Number(digits) };
}

/** @param url checked when it was read */
function readProxy(url: string): Proxy {
  const { protocol, hostname, port, username, password } = new URL(url);
  const scheme = protocol === "https:" ? "https" : "http";
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const credentials = `${decode(username)}:${decode(password)}`;
  return {
    scheme,
    host: isIP(host) === 0 ? host.replace(/\.$/, "") : host,
    port: port === "" ? (scheme === "https" ? 443 : HTTP_PORT) : Number(port),
    authorization: username === "" ? null : `Basic ${Buffer.from(credentials).toString("base64")}`,
  };
}

/** A password may hold a bare `%`. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // As it was written.
  }
}
