/**
 * The hosts that a secret belongs to (`--secret NAME@host`, `sbx secret set --host`): `host`, `*.host`, `host:port`, and
 * the same with `https://` or, for a value that may cross the network in clear, `http://`. Input comes from the user.
 */
import { findRange, widthOf } from "./ip-address.ts";
import { parseHostPattern } from "./host-pattern.ts";
import type { SecretHost } from "./spec.ts";
import { quoteValue, usageError } from "./usage-error.ts";

const DEFAULT_PORTS = { http: 80, https: 443 } as const;

/** Without a scheme and port: HTTPS on every port. With a scheme alone: its own port. @throws SbxError `usage` */
export function parseSecretHost(text: string): SecretHost {
  const match = /^(https?):\/\/([^/]*)\/?$/i.exec(text);
  const scheme = match?.[1]?.toLowerCase() === "http" ? "http" : "https";
  const written = match?.[2] ?? text;
  if (written === "*") {
    throw usageError(`${quoteValue(text)} would send the secret to every host`, "name the hosts it belongs to");
  }
  if (match === null && text.includes("://")) {
    throw usageError(
      `${quoteValue(text)} is not a host for a secret`,
      "write api.example.com or https://api.example.com",
    );
  }
  const { host, ports } = parseHostPattern(written);
  const range = findRange(host);
  if (range !== undefined && range.prefix !== widthOf(range.family)) {
    throw usageError(`${quoteValue(text)} is a range of addresses, to which no secret belongs`, "name one host");
  }
  const [port, ...more] = ports ?? [];
  if (more.length > 0 || port?.first !== port?.last) {
    throw usageError(`${quoteValue(text)} has several ports`, "give --host once for each port, or no port for all");
  }
  return { host, port: port?.first ?? (match === null ? null : DEFAULT_PORTS[scheme]), scheme };
}

/** As {@link parseSecretHost} reads it. */
export function renderSecretHost({ host, port, scheme }: SecretHost): string {
  const bracketed = host.includes(":") && (port !== null || scheme === "http") ? `[${host}]` : host;
  const target = port === null ? bracketed : `${bracketed}:${port}`;
  return scheme === "http" ? `http://${target}` : target;
}
