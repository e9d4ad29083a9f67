/** How a client reaches the server: as the operator says, or as the client itself asked for it. */
import type { IncomingMessage } from "node:http";

/** A name or an address, perhaps with a port. */
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

/** The request's URL; undefined where its target is no path, or it has no host, as HTTP/1.1 must. @param publicUrl without a final slash */
export function requestUrl({ url, headers, httpVersion }: IncomingMessage, publicUrl: string | null): URL | undefined {
  if (headers.host === undefined && httpVersion === "1.1") return undefined;
  const host = headers.host !== undefined && HOST.test(headers.host) ? headers.host : "localhost";
  const base = publicUrl ?? `http://${host}`;
  // Another form than a path would take the place of the base.
  if (url === undefined || !url.startsWith("/") || url.startsWith("//")) return undefined;
  return URL.parse(url, base) ?? undefined;
}
