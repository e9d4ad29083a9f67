/** Whole numbers with a range, such as `--cpus 4`. Input comes from the user; anything but digits is refused. */
import { quoteValue, usageError } from "./usage-error.ts";

export interface CountLimits {
  min: number;
  max: number;
}

/**
 * Reads a whole number.
 *
 * @throws SbxError `usage`
 */
export function parseCount(text: string, limits: CountLimits): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw usageError(`${quoteValue(text)} is not a whole number`);
  }
  const value = Number(text);
  if (value < limits.min || value > limits.max) {
    throw usageError(`${quoteValue(text)} is out of range: it must be from ${limits.min} to ${limits.max}`);
  }
  return value;
}
