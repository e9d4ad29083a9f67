/** A secret's host as a user writes it: `api.example.com`, `*.example.com:8443`, `http://[fd00::1]:80`. */
import type { SecretHostRecord } from "../protocol/net-launch.ts";

export function secretHostText({ host, port, scheme }: SecretHostRecord): string {
  const authority = host.includes(":") ? `[${host}]` : host;
  return `${scheme === "http" ? "http://" : ""}${authority}${port === null ? "" : `:${port}`}`;
}
