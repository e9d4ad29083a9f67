/**
 * Calls at the supervisor's socket: JSON both ways, bounded, and answered in one way whatever they are about. What is
 * behind the door brings a table of its calls, and asks `answerCall` whether one of them is meant.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import * as z from "zod/mini";
import { SbxError, toErrorRecord, type ErrorCode } from "../runtime/errors.ts";

/** One method of one path. */
export interface DoorRoute<Control> {
  /** The longest body that it takes, `bytes`; none where it is absent. */
  maxBytes?: number;
  /** @throws ZodError, SbxError */
  answer: (control: Control, call: DoorCall) => unknown;
}

export interface DoorCall {
  /** JSON that nobody has looked at; undefined for an empty body. */
  body: unknown;
  /** What stands for the `*` of the path; empty where it has none. */
  id: string;
  /** Fires when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** By path and method. A path may end in `/*`, which stands for one id. */
export interface DoorTable<Control> {
  routes: Readonly<Record<string, Readonly<Record<string, DoorRoute<Control>>>>>;
  /** What an id looks like. */
  id?: RegExp;
}

/** Statuses of failures; 500 for all others. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  config_invalid: 400,
  volume_not_found: 404,
  exposure_not_found: 404,
};

/**
 * Answers a call of the table; false for something else. Never throws.
 *
 * @param open what the table's calls are about; asked once the body is there, and may refuse with an SbxError
 */
export async function answerCall<Control>(
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  table: DoorTable<Control>,
  open: () => Control | Promise<Control>,
): Promise<boolean> {
  const found = findRoutes(table, pathname);
  if (found === undefined) return false;
  const method = request.method ?? "";
  const route = Object.hasOwn(found.methods, method) ? found.methods[method] : undefined;
  if (route === undefined) {
    const methods = Object.keys(found.methods).join(" and ");
    sendJson(response, 405, { code: "METHOD_NOT_ALLOWED", message: `${pathname} takes ${methods}` });
    return true;
  }
  const gone = new AbortController();
  response.once("close", () => gone.abort(new SbxError("aborted", "nobody waits for it any more")));
  try {
    const body = await readBody(request, route.maxBytes ?? 0);
    if (body === undefined) sendTooLarge(response, route.maxBytes ?? 0);
    else {
      const call = { body: body === "" ? undefined : parseJson(body), id: found.id, signal: gone.signal };
      sendJson(response, 200, await route.answer(await open(), call));
    }
  } catch (error) {
    sendJson(response, ...failure(error));
  }
  return true;
}

/** Undefined for a body that is too long. The rest of it is not kept; leaving the loop early would hang up unanswered. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
  }
  return size <= maxBytes ? Buffer.concat(chunks).toString("utf8") : undefined;
}

export function sendTooLarge(response: ServerResponse, maxBytes: number): void {
  sendJson(response, 413, { code: "BODY_TOO_LARGE", message: `a body has up to ${maxBytes} bytes here` });
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return;
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(text);
}

function findRoutes<Control>(
  { routes, id: form }: DoorTable<Control>,
  pathname: string,
): { methods: Readonly<Record<string, DoorRoute<Control>>>; id: string } | undefined {
  const own = Object.hasOwn(routes, pathname) && !pathname.endsWith("*") ? routes[pathname] : undefined;
  if (own !== undefined) return { methods: own, id: "" };
  const slash = pathname.lastIndexOf("/");
  const id = pathname.slice(slash + 1);
  const pattern = `${pathname.slice(0, slash)}/*`;
  const methods = Object.hasOwn(routes, pattern) ? routes[pattern] : undefined;
  return methods !== undefined && form?.test(id) === true ? { methods, id } : undefined;
}

/** @throws SbxError `usage`. The body may hold secrets: none of it is quoted, not in a cause either. */
function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new SbxError("usage", "the body is not JSON");
  }
}

function failure(error: unknown): [status: number, body: object] {
  if (error instanceof z.core.$ZodError) {
    // Where, but never what: the value may be a secret.
    const [issue] = error.issues;
    const where = issue === undefined ? "" : `: ${issue.path.map(String).join(".")}: ${issue.message}`;
    return [400, { code: "usage", message: `the body is not what this call takes${where}` }];
  }
  const record = toErrorRecord(error);
  return [STATUS[record.code] ?? 500, record];
}

/** Answers a request for an upgrade that is not granted, and hangs up. */
export function refuseUpgrade(
  socket: Duplex,
  status: number,
  code: ErrorCode | "SANDBOX_NOT_FOUND",
  message: string,
): void {
  const body = JSON.stringify({ code, message });
  socket.end(
    `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}
