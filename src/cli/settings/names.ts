/** Names of settings as a user types them. */
import { findClosest } from "../errors/suggest.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";
import { isSettingName, SETTING_NAMES, type SettingName } from "./keys.ts";

/**
 * Reads the name of a setting.
 *
 * @throws SbxError `usage`, with the one that was probably meant
 */
export function parseSettingName(text: string): SettingName {
  if (isSettingName(text)) return text;
  const near = findClosest(text, SETTING_NAMES);
  throw usageError(
    `${quoteValue(text)} is not a setting`,
    near === undefined ? "sbx config list" : `did you mean: ${near}`,
  );
}
