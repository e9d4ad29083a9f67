/** Whether anything of a sandbox's network has to be read, so that its guest needs an authority to trust. */
import type { EgressLaunch } from "../protocol/net-launch.ts";

/** It cannot come later: only hosts are added to a policy while a sandbox runs. */
export function readsAnything({ secrets, inspect, hookPath, policy }: EgressLaunch): boolean {
  const byRequest = policy.rules.some(({ methods, paths }) => methods !== null || paths !== null);
  return secrets.length > 0 || inspect || hookPath !== null || byRequest || policy.expressions.length > 0;
}
