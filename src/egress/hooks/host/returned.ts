/**
 * What a hook changed, found by comparing what it returned with what it was given. Everything else stays as it came: lines
 * of a field whose value is the same keep their order, their number and their spelling.
 */
import type { FieldLines } from "../../http-heads.ts";
import type { BodyKind, HookResult } from "../hook-messages.ts";
import { hasDotSegments } from "../dot-segments.ts";
import type { LazyBody } from "./lazy-body.ts";
import { FRAMING_FIELDS, fieldsOf, type PresentedRequest } from "./presented.ts";

/** Without the length of the body, which is known when that has been looked at. */
export interface Returned {
  result: HookResult;
  /** The body that is to be sent; `null` where none is. */
  stream: ReadableStream<Uint8Array> | null;
}

interface Given {
  object: Request | Response;
  fields: FieldLines;
  lazy: LazyBody | null;
}

/** @throws Error for what onRequest must not return */
export function readRequestReturn(value: unknown, presented: PresentedRequest, lazy: LazyBody | null): Returned {
  const { head, request } = presented;
  if (value instanceof Response) return readLocalAnswer(value, head.method);
  // The class has resolved such a path. The hook decided about that one, so that is what is sent.
  const isReshaped = hasDotSegments(head.target) || head.target.includes("\\");
  if (value === undefined || value === request) {
    if (!isReshaped) return { result: { kind: "same" }, stream: null };
    return forward({ method: head.method, url: request.url, fields: null, body: "same" });
  }
  if (!(value instanceof Request)) {
    throw new Error(`onRequest returned ${nameOf(value)}; it has to return nothing, a Request or a Response`);
  }
  const given = { object: request, fields: head.fields, lazy };
  const body = bodyKind(value, given);
  return forward(
    {
      method: value.method === presented.method ? head.method : value.method,
      url: value.url === request.url && !isReshaped ? null : value.url,
      fields: changedFields(value, given, body),
      body,
    },
    body === "stream" ? value.body : null,
  );
}

/** @throws Error for what onResponse must not return */
export function readResponseReturn(
  value: unknown,
  given: { response: Response; fields: FieldLines; lazy: LazyBody | null },
): Returned {
  const { response, fields, lazy } = given;
  if (value === undefined || value === response) return { result: { kind: "same" }, stream: null };
  if (!(value instanceof Response)) {
    throw new Error(`onResponse returned ${nameOf(value)}; it has to return nothing or a Response`);
  }
  refuseNetworkError(value);
  const body = bodyKind(value, { object: response, fields, lazy });
  const changed = changedFields(value, { object: response, fields, lazy }, body);
  return {
    result: { kind: "response", status: value.status, fields: changed ?? fields, body, length: null },
    stream: body === "stream" ? value.body : null,
  };
}

function readLocalAnswer(response: Response, method: string): Returned {
  refuseNetworkError(response);
  const body = response.body === null || method === "HEAD" ? "none" : "stream";
  if (body === "stream") refuseReadBody(response);
  // The body of a response that the hook fetched has been decoded.
  const fields = fieldsOf(response.headers).filter(([name]) => name !== "content-encoding" || response.url === "");
  return {
    result: { kind: "response", status: response.status, fields, body, length: null },
    stream: body === "stream" ? response.body : null,
  };
}

function forward(
  request: { method: string; url: string | null; fields: FieldLines | null; body: BodyKind },
  stream: ReadableStream<Uint8Array> | null = null,
): Returned {
  return { result: { kind: "request", ...request, length: null }, stream };
}

function bodyKind(value: Request | Response, { lazy }: Given): BodyKind {
  if (value.body === null) return lazy === null ? "same" : "none";
  refuseReadBody(value);
  return lazy !== null && value.body === lazy.stream && !lazy.touched ? "same" : "stream";
}

/** `null` when nothing is to be changed. */
function changedFields(value: Request | Response, { object, fields }: Given, body: BodyKind): FieldLines | null {
  const before = object.headers;
  const after = value.headers;
  const changed = new Set<string>();
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    if (!FRAMING_FIELDS.has(name) && !sameValues(valuesOf(before, name), valuesOf(after, name))) changed.add(name);
  }
  // A body that went through the hook has been decoded; a coding that the hook itself applied has another name.
  const decoded = body === "stream" && before.has("content-encoding") && !changed.has("content-encoding");
  if (changed.size === 0 && !decoded) return null;
  const written = new Set<string>();
  const newLines = (name: string, spelling: string): [string, string][] => {
    if (written.has(name)) return [];
    written.add(name);
    return valuesOf(after, name).map((value) => [spelling, value]);
  };
  const kept = fields.flatMap(([name, text]): [string, string][] => {
    const lower = name.toLowerCase();
    if (decoded && lower === "content-encoding") return [];
    return changed.has(lower) ? newLines(lower, name) : [[name, text]];
  });
  return [...kept, ...[...changed].flatMap((name) => newLines(name, name))];
}

function valuesOf(headers: Headers, name: string): string[] {
  if (name === "set-cookie") return headers.getSetCookie();
  const value = headers.get(name);
  return value === null ? [] : [value];
}

function sameValues(before: readonly string[], after: readonly string[]): boolean {
  return before.length === after.length && before.every((value, index) => value === after[index]);
}

function refuseReadBody(value: Request | Response): void {
  if (!value.bodyUsed && value.body?.locked !== true) return;
  throw new Error(
    `the body of the returned ${nameOf(value)} has been read already; return clone() of it, or a new one`,
  );
}

function refuseNetworkError(response: Response): void {
  if (response.type === "error") throw new Error("the returned Response is a network error");
}

function nameOf(value: unknown): string {
  if (value instanceof Request) return "Request";
  if (value instanceof Response) return "Response";
  return value === null ? "null" : typeof value;
}
