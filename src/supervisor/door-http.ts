/** Bodies of the supervisor's socket: JSON both ways, bounded. */
import type { IncomingMessage, ServerResponse } from "node:http";

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

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return;
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(text);
}
