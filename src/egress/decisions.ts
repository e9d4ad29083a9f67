/** Decides about single requests: the policy, and its rules in JavaScript where the policy leaves it to them. */
import type { Decision, RequestTarget } from "../policy/spec.ts";
import type { Hooks } from "./hooks/hooks.ts";
import type { LivePolicy } from "./live-policy.ts";

/** The one verdict on a request, for the enforcement and for `sbx net check`. Never throws: a failure is a denial. */
export async function decideRequest(
  policy: LivePolicy,
  hooks: Hooks | null,
  target: RequestTarget,
  signal: AbortSignal,
): Promise<Decision> {
  const { current } = policy;
  const { decision, askExpressions } = current.decideRequest(target);
  if (!askExpressions || hooks === null) return decision;
  return current.decideByExpressions(target, await hooks.evaluate(target, signal));
}
