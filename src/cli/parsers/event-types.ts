/** `--type`: a type of event, or the kind of thing that it is about, which stands for all of that kind. */
import { EVENT_TYPES, type EventType } from "../../runtime/watching.ts";
import { quoteValue, usageError } from "./usage-error.ts";

/**
 * The types that are meant; undefined for all.
 *
 * @throws SbxError `usage` for one that there is not
 */
export function parseEventTypes(given: readonly string[]): EventType[] | undefined {
  if (given.length === 0) return undefined;
  return given
    .flatMap((text) => text.split(","))
    .flatMap((text) => {
      const types = EVENT_TYPES.filter((type) => type === text || type.startsWith(`${text}.`));
      if (types.length > 0) return types;
      const kinds = [...new Set(EVENT_TYPES.map((type) => type.split(".")[0]))].join(", ");
      throw usageError(`${quoteValue(text)} is no type of event`, `give one of ${kinds}, or such as sandbox.stopped`);
    });
}
