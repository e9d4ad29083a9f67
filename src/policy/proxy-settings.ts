/**
 * The user's proxies, as curl and most programs read them from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
 * NO_PROXY, or the same in lower case, which wins. A value that cannot be understood is an error: to go around a proxy
 * that was asked for would be worse.
 */
import { SbxError } from "../runtime/errors.ts";

export interface ProxySettings {
  /** URL for connections to plain HTTP; it may hold a password. */
  http: string | null;
  /** URL for everything else. */
  https: string | null;
  /** Dialled directly, in lower case: `*`, names (with all below them), addresses, ranges; each perhaps with a port. */
  noProxy: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const MAX_NO_PROXY_ENTRIES = 1000;

/**
 * Reads them.
 *
 * @returns `null` where there are none
 * @throws SbxError `config_invalid` for a value that is no proxy's URL
 */
export function proxySettings(environment: Environment): ProxySettings | null {
  const http = proxyUrl(environment, "HTTP_PROXY") ?? proxyUrl(environment, "ALL_PROXY");
  const https = proxyUrl(environment, "HTTPS_PROXY") ?? proxyUrl(environment, "ALL_PROXY");
  if (http === null && https === null) return null;
  return { http, https, noProxy: noProxyEntries(environment) };
}

/** The lower-case variable, else the upper-case one; empty counts as unset. */
function readVariable(environment: Environment, name: string): string | null {
  for (const spelling of [name.toLowerCase(), name]) {
    const value = environment[spelling]?.trim();
    if (value !== undefined && value !== "") return value;
  }
  return null;
}

function proxyUrl(environment: Environment, name: string): string | null {
  const value = readVariable(environment, name);
  if (value === null) return null;
  // `proxy.example:3128` is what many write; URL would take `proxy.example:` for a scheme.
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  const known = url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "";
  if (!known) {
    // The value may hold a password: it is not repeated.
    throw new SbxError("config_invalid", `${name} is not the URL of an HTTP proxy`, {
      hint: `export ${name}=http://proxy.example:3128, or unset it`,
    });
  }
  return url.href;
}

function noProxyEntries(environment: Environment): string[] {
  const entries = (readVariable(environment, "NO_PROXY") ?? "")
    .split(/[\s,]+/)
    .map((entry) => entry.toLowerCase())
    .filter((entry) => entry !== "");
  if (entries.length > MAX_NO_PROXY_ENTRIES) {
    throw new SbxError("config_invalid", `NO_PROXY has more than ${MAX_NO_PROXY_ENTRIES} entries`);
  }
  return entries;
}
