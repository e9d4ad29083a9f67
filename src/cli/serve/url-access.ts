/**
 * What programs of this machine need to get to the URLs of sandboxes: trust in their certificates, and a resolver that
 * knows names such as `x.localhost` (RFC 6761, 6.3). Browsers and curl always do.
 */
import { readFileSync } from "node:fs";
import { localhostNamesPath } from "../../host/package-root.ts";
import type { GatewayFacts } from "../../server/serve.ts";

/** Modules of glibc's name service that know them (nss-myhostname(8), nss-resolve(8)). */
const KNOWING = /^hosts:.*\b(?:myhostname|resolve)\b/m;
const LOCALHOST = /(?:^|\.)localhost$/;

export interface UrlAccess {
  /** Of the authority behind the certificates; null where programs trust that by themselves. */
  certificatePath: string | null;
  /** Of what has programs of Node find the names; null where they do. */
  preloadPath: string | null;
}

/** @param nameService nsswitch.conf(5); where there is none, there is no glibc */
export function urlAccess(gateway: GatewayFacts | undefined, nameService = "/etc/nsswitch.conf"): UrlAccess {
  if (gateway === undefined) return { certificatePath: null, preloadPath: null };
  const { domain, certificatePath } = gateway;
  const isFound = !LOCALHOST.test(domain) || findsLocalhostNames(nameService);
  return { certificatePath, preloadPath: isFound ? null : localhostNamesPath() };
}

function findsLocalhostNames(file: string): boolean {
  try {
    return KNOWING.test(readFileSync(file, "utf8"));
  } catch {
    return false; // macOS, or a libc without it: neither knows them.
  }
}
