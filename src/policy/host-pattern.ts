/**
 * The grammar of `--allow-net`, `--deny-net` and the hosts of a policy file:
 *
 *     host          *.host           IPv4          [IPv6]         IPv6
 *     host:80,443   *.host:8000-8010 IPv4:port     [IPv6]:port
 *     10.0.0.0/8    10.0.0.0/8:5432  fd00::/8      [fd00::/8]:443
 *
 * `*.host` stands for every name below `host` at any depth, and not for `host` itself. Input comes from the user; what
 * is not exactly of a form is refused, since a pattern that means something else than it looks is worse than an error.
 */
import { HOST_LOOPBACK_NAME, readHost } from "./host-name.ts";
import { findRange, firstOf, formatAddress, formatRange, findAddress, widthOf } from "./ip-address.ts";
import { parsePorts, type PortRange } from "./ports.ts";
import type { Verdict } from "./spec.ts";
import { quoteValue, usageError } from "./usage-error.ts";

export interface HostPattern {
  /** Canonical, as RuleSpec.host. */
  host: string;
  /** `null`: every port. */
  ports: PortRange[] | null;
}

const MAX_PATTERN_LENGTH = 1024;

/**
 * Reads one pattern. A deny rule may be wider than an allow rule: `*` and `*.tld` are for denials only.
 *
 * @throws SbxError `usage`
 */
export function parseHostPattern(text: string, verdict: Verdict = "allow"): HostPattern {
  refuseOtherNotations(text);
  const { host, ports } = splitPorts(text);
  const pattern = { host: canonicalPatternHost(host, text, verdict), ports: ports === null ? null : parsePorts(ports) };
  if (verdict === "allow") refuseUnopenable(pattern, text);
  return pattern;
}

/** Whether a canonical name or address is meant by a canonical pattern of a name (never of a range). */
export function matchesHost(pattern: string, host: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === host;
  return host.length >= pattern.length && host.endsWith(pattern.slice(1)) && !host.includes(":");
}

function refuseOtherNotations(text: string): void {
  const wrong = (why: string, hint?: string): never => {
    throw usageError(`${quoteValue(text)} is not a host pattern: ${why}`, hint);
  };
  if (text === "") wrong("it is empty", "write a host, such as api.example.com or api.example.com:443");
  if (text.length > MAX_PATTERN_LENGTH) wrong("it is too long");
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    wrong("it is a URL", `write only the host and the port, such as ${hostOfUrl(text)}`);
  }
  if (/[\s\u0000-\u001f\u007f]/.test(text)) wrong("it has spaces or control characters", "give one pattern at a time");
  if (text.includes("@")) wrong("it has a user name");
  if (text.includes("?") || text.includes("#")) wrong("it has a query or a fragment");
}

function hostOfUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || url.hostname === "") return "api.example.com:443";
  const port = { "http:": "80", "https:": "443" }[url.protocol];
  return `${url.hostname}${url.port !== "" || port !== undefined ? `:${url.port === "" ? String(port) : url.port}` : ""}`;
}

/** Takes the ports off the end. */
function splitPorts(text: string): { host: string; ports: string | null } {
  if (text.startsWith("[")) {
    const match = /^\[([^\][]*)\](?::(.*))?$/s.exec(text);
    if (match?.[1] === undefined) {
      throw usageError(`${quoteValue(text)} is not a host pattern: its brackets do not fit`, "write [fd00::1]:443");
    }
    if (!match[1].includes(":")) {
      throw usageError(`${quoteValue(text)} is not a host pattern: brackets are for IPv6`, "write the host without");
    }
    return { host: match[1], ports: match[2] ?? null };
  }
  const colon = text.indexOf(":");
  if (colon === -1) return { host: text, ports: null };
  // More than one colon: IPv6 without brackets, which can have no port.
  if (text.indexOf(":", colon + 1) !== -1) return { host: text, ports: null };
  return { host: text.slice(0, colon), ports: text.slice(colon + 1) };
}

function canonicalPatternHost(host: string, text: string, verdict: Verdict): string {
  if (host === "*") {
    if (verdict === "deny") return "*";
    throw usageError(
      `${quoteValue(text)} would allow every host`,
      "--net open allows all public hosts, and --deny-net takes some of them away",
    );
  }
  if (host.startsWith("*.")) return canonicalWildcard(host.slice(2), text, verdict);
  if (host.includes("/")) return canonicalRange(host, text);
  const reading = readHost(host);
  if (reading.kind !== "refused") return reading.host;
  throw usageError(`${quoteValue(text)} is not a host pattern: ${reading.why}`, hintFor(host));
}

function canonicalWildcard(host: string, text: string, verdict: Verdict): string {
  const reading = readHost(host);
  if (reading.kind === "refused") throw usageError(`${quoteValue(text)} is not a host pattern: ${reading.why}`);
  if (reading.kind === "address") {
    throw usageError(
      `${quoteValue(text)} is not a host pattern: addresses have no subdomains`,
      "write a range as 10.0.0.0/8",
    );
  }
  if (verdict === "allow" && !reading.host.includes(".")) {
    throw usageError(
      `${quoteValue(text)} would allow every host of a whole top-level domain`,
      `name at least two labels, such as *.example.${reading.host}`,
    );
  }
  if (verdict === "allow" && matchesHost(`*.${reading.host}`, HOST_LOOPBACK_NAME)) {
    throw usageError(
      `${quoteValue(text)} does not open this machine's own loopback`,
      `write ${HOST_LOOPBACK_NAME} with its port`,
    );
  }
  return `*.${reading.host}`;
}

function canonicalRange(host: string, text: string): string {
  const range = findRange(host);
  if (range === undefined) {
    const isRange = findAddress(host.slice(0, host.indexOf("/"))) !== undefined;
    throw usageError(
      `${quoteValue(text)} is not a host pattern: ${isRange ? "its prefix is not one" : "it has a path"}`,
      isRange ? "write a range as 10.0.0.0/8 or fd00::/8" : "rules by path go into a policy file (--net-file)",
    );
  }
  const address = findAddress(host.slice(0, host.indexOf("/")));
  if (address !== undefined && firstOf(address, range.prefix) !== address.value) {
    const meant = formatRange({ ...range, first: firstOf(address, range.prefix) });
    throw usageError(
      `${quoteValue(text)} is not a range: it has bits below its prefix`,
      `write ${meant} for the range, or ${formatAddress(address)} for the one address`,
    );
  }
  return range.prefix === widthOf(range.family) ? formatAddress({ ...range, value: range.first }) : formatRange(range);
}

/** What no allow rule can open, said while the user is there to read it. */
function refuseUnopenable(pattern: HostPattern, text: string): void {
  if (pattern.host === "localhost" || pattern.host.endsWith(".localhost")) {
    throw usageError(
      `${quoteValue(text)} is the sandbox's own loopback, which needs no rule`,
      `${HOST_LOOPBACK_NAME}:PORT is this machine's`,
    );
  }
  if (pattern.host === HOST_LOOPBACK_NAME && pattern.ports === null) {
    throw usageError(
      `${quoteValue(text)} would open every port of this machine's own loopback`,
      `name the port, such as ${HOST_LOOPBACK_NAME}:8080`,
    );
  }
}

function hintFor(host: string): string | undefined {
  if (host.startsWith(".")) return `write *${host} for all names below it`;
  if (host.includes("*")) return "write *.example.com for all names below example.com";
  if (/^[0-9a-fx.]+$/i.test(host)) return "write the address as 127.0.0.1, or a range as 127.0.0.0/8";
  return undefined;
}
