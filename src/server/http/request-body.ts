/** Reads a request's JSON. */
import type { IncomingMessage } from "node:http";
import { ApiError } from "../api-error.ts";
import { MAX_BODY_BYTES } from "./limits.ts";

/** @throws ApiError `BODY_TOO_LARGE`, `INVALID_REQUEST` */
export async function readJsonBody(request: IncomingMessage, maxBytes = MAX_BODY_BYTES): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new ApiError("BODY_TOO_LARGE", `a body has at most ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
    return JSON.parse(text) as unknown;
  } catch {
    throw new ApiError("INVALID_REQUEST", "the body is not JSON");
  }
}

/** The query as an object; `labels[key]=value` becomes an entry of `labels`. The last of several of one name counts. */
export function readQuery(parameters: URLSearchParams): Record<string, unknown> {
  const query: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  const nested = new Map<string, Record<string, string>>();
  for (const [name, value] of parameters) {
    const [, group, key] = /^(\w{1,64})\[(.{1,256})\]$/s.exec(name) ?? [];
    if (group === undefined || key === undefined) {
      query[name] = value;
      continue;
    }
    const entries = nested.get(group) ?? (Object.create(null) as Record<string, string>);
    entries[key] = value;
    nested.set(group, entries);
  }
  for (const [group, entries] of nested) query[group] = entries;
  return query;
}
