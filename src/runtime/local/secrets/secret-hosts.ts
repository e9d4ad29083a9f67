/** Hosts of stored secrets: what was written down when a secret was stored bounds what it is used for later. */
import type { SecretHostRecord } from "../../../protocol/net-launch.ts";

/** Whether everything that `wanted` stands for is within one of `hosts`. */
export function coversHost(hosts: readonly SecretHostRecord[], wanted: SecretHostRecord): boolean {
  return hosts.some(
    ({ host, port, scheme }) =>
      scheme === wanted.scheme && (port === null || port === wanted.port) && coversName(host, wanted.host),
  );
}

/** `*.example.com` stands for everything below example.com, but not for example.com itself. */
function coversName(pattern: string, wanted: string): boolean {
  if (pattern === wanted) return true;
  return pattern.startsWith("*.") && wanted.replace(/^\*\./, "x.").endsWith(pattern.slice(1));
}
