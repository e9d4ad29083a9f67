/** Reads anything of api.example.com, writes below /v1/drafts/ only. */
import type { OnRequest } from "sbx/hooks";

const READING = ["GET", "HEAD", "OPTIONS"];

export const onRequest: OnRequest = (request) => {
  const { hostname, pathname } = new URL(request.url);
  if (hostname !== "api.example.com" || READING.includes(request.method)) return undefined;
  // Decoded, because the server decodes it too; what cannot be decoded throws, and so is refused.
  const path = decodeURIComponent(pathname);
  if (path.startsWith("/v1/drafts/") && !path.includes("..")) return undefined;
  return Response.json(
    { error: "denied", reason: `${request.method} is allowed below /v1/drafts/ only; do not retry` },
    { status: 403 },
  );
};
