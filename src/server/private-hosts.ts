/** What behind the server only its operator may open: a tenant is not a user of this machine or of its network. */
import { findClosedRange } from "../policy/closed-ranges.ts";
import { HOST_LOOPBACK_NAME } from "../policy/host-name.ts";
import { findRange } from "../policy/ip-address.ts";

/** @param host canonical, as RuleSpec.host */
export function isPrivateHost(host: string): boolean {
  if (host === HOST_LOOPBACK_NAME) return true;
  const range = findRange(host);
  return range !== undefined && findClosedRange({ family: range.family, value: range.first }) !== undefined;
}
