/** Hooks for tests of the interceptor: those that a test gives, in its own process. */
import type { Hooks } from "../../../src/egress/hooks/hooks.ts";

export function fakeHooks(hooks: Partial<Pick<Hooks, "onRequest" | "onResponse">>): Hooks {
  return {
    onRequestDefined: hooks.onRequest !== undefined,
    onResponseDefined: hooks.onResponse !== undefined,
    trouble: null,
    onRequest: hooks.onRequest ?? (async (head, body) => ({ kind: "forward", head, body })),
    onResponse: hooks.onResponse ?? (async (_request, head, body) => ({ head, body })),
    evaluate: async () => ({ verdict: "deny", expression: null, message: null }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
