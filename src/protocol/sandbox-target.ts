/** Where a sandbox is below the address of its server (the published protocol's version 3). */

/** Information about the sandbox, its end, its extension. */
export function sandboxTarget(id: string): string {
  return `/api/v3/sandbox/${id}`;
}

/** The WebSocket of its RPC connections. */
export function connectTarget(id: string): string {
  return `${sandboxTarget(id)}/connect`;
}
