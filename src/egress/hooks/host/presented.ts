/** Heads as a hook sees them: WHATWG `Request` and `Response` objects that it cannot change in place. */
import type { FieldLines, RequestHead, ResponseHead } from "../../http-heads.ts";

export interface PresentedRequest {
  head: RequestHead;
  request: Request;
  /** What a `Request` made of this one has for its method. */
  method: string;
}

/** Statuses that the `Response` class takes, and those of them that it takes no body for (Fetch standard). */
const STATUSES = { first: 200, last: 599 };
const NULL_BODY_STATUSES = new Set([204, 205, 304]);

export function presentRequest(head: RequestHead, body: ReadableStream<Uint8Array> | null): PresentedRequest {
  const method = classMethod(head.method, body !== null);
  const init = { method, headers: head.fields as [string, string][], body, duplex: "half" };
  const request = new Request(urlOf(head), init as RequestInit);
  if (method !== head.method) Object.defineProperty(request, "method", { value: head.method });
  lock(request.headers, "new Request(request, { headers })");
  return { head, request, method };
}

export function presentResponse(head: ResponseHead, body: ReadableStream<Uint8Array> | null): Response {
  const { status } = head;
  const fits =
    status >= STATUSES.first && status <= STATUSES.last && !(body !== null && NULL_BODY_STATUSES.has(status));
  const response = new Response(body, { status: fits ? status : 200, headers: head.fields as [string, string][] });
  if (!fits) Object.defineProperty(response, "status", { value: status });
  lock(response.headers, "new Response(response.body, { status, headers })");
  return response;
}

/** The URL of a head. What would be a fragment there is part of the path: a server gets it as such. */
export function urlOf({ scheme, host, port, target }: Omit<RequestHead, "method" | "fields">): string {
  const name = host.includes(":") ? `[${host}]` : host;
  const path = target === "*" ? "/" : target.replaceAll("#", "%23");
  return new URL(`${scheme}://${name}:${port}${path}`).href;
}

/**
 * A method for the class, which refuses some, changes the case of others and has no body for GET: a plus sign makes any
 * of them one that it takes.
 */
function classMethod(method: string, hasBody: boolean): string {
  const upper = method.toUpperCase();
  if (["CONNECT", "TRACE", "TRACK"].includes(upper)) return `${method}+`;
  if (["GET", "HEAD"].includes(upper)) return hasBody || upper !== method ? `${method}+` : method;
  return ["DELETE", "OPTIONS", "POST", "PUT"].includes(upper) && upper !== method ? `${method}+` : method;
}

/** As the headers of a `FetchEvent` or of a fetched response are: a change that nobody would see is refused. */
function lock(headers: Headers, instead: string): void {
  const refuse = (): never => {
    throw new TypeError(`these headers cannot be changed; return ${instead}`);
  };
  for (const name of ["append", "delete", "set"]) Object.defineProperty(headers, name, { value: refuse });
}

/** The lines of a returned `Headers`, for a head that did not come from anywhere. */
export function fieldsOf(headers: Headers): FieldLines {
  return [...headers].filter(([name]) => !FRAMING_FIELDS.has(name));
}

/** Fields that say how a message is carried; they are no hook's business. */
export const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
