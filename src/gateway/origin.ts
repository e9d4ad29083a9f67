/**
 * Which pages may open a WebSocket. Browsers let any page do so and leave it to the server to look at Origin, which many
 * development servers do not. Pages of this machine are trusted with what they know; a page of the web that has learnt a
 * URL (a Referer field tells it) is not.
 */

const LOCAL =
  /^https?:\/\/(?:localhost|(?:[a-z0-9-]+\.)+localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(?::\d{1,5})?$/i;

/** @param origin the field, if there is one: programs send none */
export function isForeignOrigin(origin: string | undefined, host: string): boolean {
  if (origin === undefined || LOCAL.test(origin)) return false;
  return origin.replace(/^https?:\/\//i, "").toLowerCase() !== host;
}
