/**
 * Pages of a list: the newest first, and where to go on as an opaque cursor. The cursor names the last item, so what is
 * made or removed meanwhile neither repeats nor hides another one.
 */
import { z } from "zod";
import { ApiError } from "../api-error.ts";
import type { Answer } from "./route.ts";

export const DEFAULT_LIMIT = 30;
export const MAX_LIMIT = 100;

const limit = z.coerce.number().int().min(1).max(MAX_LIMIT);

/** The SDK for Python sends the whole link back that a cursor came in. */
export const cursorParameter = z.string().max(4096);

export const pageQuery = z.object({
  limit: limit.default(DEFAULT_LIMIT),
  cursor: cursorParameter.optional(),
  search: z.string().max(256).optional(),
});

export interface Item {
  id: string;
  createdAt: number;
}

const cursorSchema = z.tuple([z.number(), z.string()]);

export interface PageRequest {
  limit: number;
  cursor?: string | undefined;
}

/** The answer with one page. @param url of the request: the link to the next page is the same with another cursor */
export function answerPage<T extends Item>(
  items: readonly T[],
  { limit: size, cursor }: PageRequest,
  url: URL,
  render: (item: T) => unknown,
): Answer {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const rest = [...items].sort(compare).filter((item) => after === undefined || compare(after, item) < 0);
  const page = rest.slice(0, size);
  const last = page.at(-1);
  const body = page.map(render);
  if (last === undefined || rest.length <= size) return { status: 200, body };
  const next = new URL(url);
  next.searchParams.set("cursor", writeCursor(last));
  return { status: 200, body, headers: { link: `<${next.href}>; rel="next"` } };
}

function compare(a: Item, b: Item): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? -1 : Number(a.id > b.id));
}

function writeCursor({ createdAt, id }: Item): string {
  return Buffer.from(JSON.stringify([createdAt, id])).toString("base64url");
}

function readCursor(text: string): Item {
  try {
    const cursor = URL.parse(text)?.searchParams.get("cursor") ?? text;
    const [createdAt, id] = cursorSchema.parse(JSON.parse(Buffer.from(cursor, "base64url").toString("utf8")));
    return { createdAt, id };
  } catch {
    throw new ApiError("INVALID_REQUEST", "the cursor is not one that this server gave out");
  }
}
