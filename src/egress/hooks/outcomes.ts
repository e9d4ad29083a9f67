/** From what a hook said to heads and bodies that the interceptor can send. */
import type { Readable } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import type { HookCall } from "./hook-call.ts";
import type { HookResult, ReturnedBody } from "./hook-messages.ts";
import { HookError, type RequestOutcome, type ResponseOutcome } from "./hooks.ts";

interface Outgoing {
  fields: FieldLines;
  body: Readable | null;
  bodyReplaced: boolean;
}

/** @throws HookError */
export function requestOutcome(
  result: HookResult,
  call: HookCall<HookResult>,
  head: RequestHead,
  body: Readable | null,
): RequestOutcome {
  if (result.kind === "same") return { kind: "forward", head, body: call.tap?.unchanged() ?? null };
  const outgoing = outgoingBody(result, result.fields ?? head.fields, call, body);
  if (result.kind === "response") {
    return { kind: "respond", head: { status: result.status, fields: outgoing.fields }, body: outgoing.body };
  }
  const { method, url } = result;
  const target = url === null ? {} : targetOf(url);
  const { fields, ...rest } = outgoing;
  return { kind: "forward", head: { ...head, method, ...target, fields }, ...rest };
}

/** @throws HookError */
export function responseOutcome(
  result: HookResult,
  call: HookCall<HookResult>,
  head: ResponseHead,
  body: Readable | null,
): ResponseOutcome {
  if (result.kind === "same") return { head, body: call.tap?.unchanged() ?? null };
  if (result.kind === "request") throw new HookError("onResponse returned a Request");
  const { fields, ...rest } = outgoingBody(result, result.fields, call, body);
  return { head: { status: result.status, fields }, ...rest };
}

function outgoingBody(
  { body: kind, length }: ReturnedBody,
  fields: FieldLines,
  call: HookCall<HookResult>,
  body: Readable | null,
): Outgoing {
  if (kind === "same") return { fields, body: call.tap?.unchanged() ?? null, bodyReplaced: false };
  if (kind === "none") {
    call.tap?.close();
    return { fields: withLength(fields, null), body: null, bodyReplaced: body !== null };
  }
  return { fields: withLength(fields, length), body: call.takeBody(), bodyReplaced: true };
}

/** The length of the former body says nothing about the new one. */
function withLength(fields: FieldLines, length: number | null): FieldLines {
  const others = fields.filter(([name]) => name.toLowerCase() !== "content-length");
  return length === null ? others : [...others, ["content-length", String(length)]];
}

/** @throws HookError for a URL that nothing can be sent to */
function targetOf(text: string): Pick<RequestHead, "scheme" | "host" | "port" | "target"> {
  const { protocol, hostname, port, pathname, search } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") {
    throw new HookError(`the hook returned a Request for ${JSON.stringify(protocol)}, which is neither http nor https`);
  }
  const scheme = protocol === "http:" ? "http" : "https";
  return {
    scheme,
    host: hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, ""),
    port: port === "" ? (scheme === "http" ? 80 : 443) : Number(port),
    target: `${pathname}${search}`,
  };
}
