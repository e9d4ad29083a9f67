/** At most 60 requests a minute to each host; what comes too fast is answered with 429 and does not leave. */
import type { OnRequest } from "sbx/hooks";

const BURST = 60;
const REFILL_MS = 1000;

const buckets = new Map<string, { tokens: number; filledAt: number }>();

export const onRequest: OnRequest = (request, { log }) => {
  const { host } = new URL(request.url);
  const now = performance.now();
  const { tokens, filledAt } = buckets.get(host) ?? { tokens: BURST, filledAt: now };
  const filled = Math.min(BURST, tokens + (now - filledAt) / REFILL_MS);
  buckets.set(host, { tokens: filled >= 1 ? filled - 1 : filled, filledAt: now });
  if (filled >= 1) return undefined;
  log(`too many requests to ${host}`);
  return new Response("too many requests\n", { status: 429, headers: { "retry-after": "1" } });
};
