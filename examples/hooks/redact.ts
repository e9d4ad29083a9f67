/**
 * E-mail addresses in text that leaves become [e-mail]. It keeps honest programs from sending what they should not; a
 * program that means to can call its text an image, or encode it.
 */
import type { OnRequest } from "sbx/hooks";

const ADDRESS = /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g;
const TEXT = /^(?:text\/|application\/(?:[\w.+-]*json|x-www-form-urlencoded|xml))/i;

export const onRequest: OnRequest = async (request, { log }) => {
  if (request.body === null || !TEXT.test(request.headers.get("content-type") ?? "text/plain")) return undefined;
  const text = await request.text();
  const redacted = text.replaceAll(ADDRESS, "[e-mail]");
  if (redacted === text) return undefined;
  log(`e-mail addresses taken out of a request to ${new URL(request.url).host}`);
  // The body of `request` has been read, so the new one is made from its parts.
  return new Request(request.url, { method: request.method, headers: request.headers, body: redacted });
};
