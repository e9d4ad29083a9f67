/** What a name below the gateway's domain leads to. Sandboxes have random names; others can have names of their own. */
import { randomBytes } from "node:crypto";
import type { Target } from "../../gateway/gateway.ts";

export interface NameResolver {
  /**
   * The target of a label; the same object for the same label as long as anybody has it, as connections are counted by it.
   *
   * @param label of a host name, lower case, from anybody
   */
  find(label: string): Target | undefined;
  /** Whether there is such a name, as far as that is known without a wait; strangers cannot make it true. */
  isEstablished(label: string): boolean;
}

/** RFC 4648's digits in lower case: host names know no other. */
const DIGITS = "abcdefghijklmnopqrstuvwxyz234567";
/** 130 bits. */
const LABEL_DIGITS = 26;
export const RANDOM_LABEL = /^[a-z2-7]{26}$/;

/** All that protects a server. */
export function makeLabel(): string {
  // 256 is a multiple of 32: every digit is as likely.
  return Array.from(randomBytes(LABEL_DIGITS), (byte) => DIGITS[byte & 31] ?? "").join("");
}

/** The label that a Host field has before the domain; undefined where it is not of the form `label.domain[:port]`. */
export function labelOf(host: string, domain: string): string | undefined {
  const name = host.replace(/:\d+$/, "");
  const label = name.slice(0, -domain.length - 1);
  return name === `${label}.${domain}` && label !== "" && !label.includes(".") ? label : undefined;
}
