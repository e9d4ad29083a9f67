/** Lists of the published API, which come in pages. */
import type * as z from "zod/mini";
import { parseValue, type ControlClient } from "./control-client.ts";

/** Pages of one list. */
const MAX_PAGES = 100;

/** All items of a list. @param url of its first page */
export async function readPages<T>(
  client: ControlClient,
  first: URL,
  schema: z.ZodMiniType<T[]>,
  signal: AbortSignal | undefined,
): Promise<T[]> {
  const url = new URL(first);
  const found: T[] = [];
  for (let page = 0; page < MAX_PAGES; page++) {
    const { value, headers } = await client.published({ method: "GET", url, signal });
    found.push(...parseValue(schema, value, url));
    const cursor = nextCursor(headers["link"]);
    if (cursor === undefined) break;
    url.searchParams.set("cursor", cursor);
  }
  return found;
}

/** Of the link to the next page only where to go on: requests go nowhere else than to the server itself. */
function nextCursor(link: string | undefined): string | undefined {
  const target = /<([^>]{1,8192})>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  return target === undefined ? undefined : (URL.parse(target)?.searchParams.get("cursor") ?? undefined);
}
