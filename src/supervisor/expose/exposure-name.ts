/** Host names of exposures. The random part is all that protects a server: 105 bits of it. */
import { randomBytes } from "node:crypto";

/** RFC 4648's digits in lower case: host names know no other. */
const DIGITS = "abcdefghijklmnopqrstuvwxyz234567";
const RANDOM_DIGITS = 21;
/** A label of a host name (RFC 1035, 2.3.4). */
const MAX_LABEL_LENGTH = 63;

/** `web-k3v…2q.localhost`. Browsers and curl know that such names are this machine's (RFC 6761, 6.3). */
export function makeExposureHost(sandboxName: string | null): string {
  const room = MAX_LABEL_LENGTH - RANDOM_DIGITS - 1;
  const name = (sandboxName ?? "sbx").slice(0, room).replace(/-+$/, "");
  return `${name}-${randomDigits(RANDOM_DIGITS)}.localhost`;
}

function randomDigits(count: number): string {
  // 256 is a multiple of 32: every digit is as likely.
  return Array.from(randomBytes(count), (byte) => DIGITS[byte & 31] ?? "").join("");
}
