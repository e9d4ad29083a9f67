/** Addresses of control planes and what goes to them with each request. Input comes from the user or a file. */
import { isIP } from "node:net";
import { SbxError } from "../errors.ts";
import { ORGANISATION_NAME } from "../organisations.ts";

/** As a label of a host name: `ssh NAME.CONTEXT.sbx`. */
export const CONTEXT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** What may stand in a field of HTTP behind `Bearer `. */
const TOKEN = /^[\x21-\x7e]{1,1024}$/;
const MAX_URL_LENGTH = 2048;

/** Whether a user means an address and not the name of a context. */
export function isAddress(text: string): boolean {
  return text.includes("://");
}

/**
 * The origin of a control plane.
 *
 * @param options.insecure whether it may be HTTP without TLS to another machine
 * @throws SbxError `usage`
 */
export function parseEndpoint(text: string, { insecure = false }: { insecure?: boolean } = {}): string {
  const url = text.length > MAX_URL_LENGTH ? null : URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:") || url.hostname === "") {
    throw usage(`${quote(text)} is not the address of a server`, "it looks like https://sandboxes.example");
  }
  if (url.username !== "" || url.password !== "") {
    throw usage("the address of a server holds no user and no password", "leave out what is before the @");
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw usage(`${quote(text)} has more than a host and a port`, `sbx login ${url.origin}`);
  }
  if (url.protocol === "http:" && !insecure && !isLoopback(url.hostname)) {
    throw usage(
      `${url.origin} is HTTP without TLS: whoever is on the way could read the token`,
      `use https://${url.host}, or sbx login ${url.origin} --insecure-http in a network that is yours alone`,
    );
  }
  return url.origin;
}

/** @throws SbxError `usage`, without the token */
export function parseToken(text: string): string {
  if (TOKEN.test(text)) return text;
  throw usage(
    "that is not a token: it has blanks, line breaks or no characters at all",
    "one of sbx serve begins with ddo_ or ddp_",
  );
}

/** @throws SbxError `usage` */
export function parseOrganisationName(text: string): string {
  if (ORGANISATION_NAME.test(text)) return text;
  throw usage(`${quote(text)} cannot be the name of an organisation`, "it has up to 63 letters, digits and dashes");
}

/** A context's name for an address that got none: `https://sandboxes.example:8443` is `sandboxes-example-8443`. */
export function nameOfEndpoint(endpoint: string): string {
  const { host } = new URL(endpoint);
  const name = host
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+/g, "")
    .slice(0, 63)
    .replaceAll(/-+$/g, "");
  return name === "" || name === "local" ? "server" : name;
}

/** Whether nothing that is sent there leaves this machine. */
export function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "");
  if (isIP(bare) === 4) return bare.startsWith("127.");
  return bare === "::1" || bare === "localhost" || bare.endsWith(".localhost");
}

function usage(message: string, hint: string): SbxError {
  return new SbxError("usage", message, { hint });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
