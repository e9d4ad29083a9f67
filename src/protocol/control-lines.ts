/**
 * Answers in lines (NDJSON): each is an object with one key, and an empty line only says that the connection is alive.
 *
 *     {"progress":{…}}   how far it has come
 *     {"item":…}         one of many
 *     {"result":…}       the value, and the end
 *     {"end":true}       the end of the items
 *     {"error":{…}}      it failed, which is the end as well
 *
 * What ends without one of the last three was broken off: a client must not take it for whole.
 */
import * as z from "zod/mini";
import { errorBody, type ErrorBody } from "./control-errors.ts";

export const LINES_TYPE = "application/x-ndjson";
/** Silence is broken after so long, `ms`. */
export const BEAT_MS = 10_000;
/** A connection that says nothing for so long is broken, `ms`. */
export const MAX_SILENCE_MS = 45_000;
/** Longest line, `bytes`. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024;

export const progressEvent = () =>
  z.object({
    stage: z.string(),
    message: z.string(),
    done: z.optional(z.number()),
    total: z.optional(z.number()),
    unit: z.optional(z.enum(["bytes", "files"])),
  });

export type ProgressRecord = z.output<ReturnType<typeof progressEvent>>;

/** One line; `item` and `result` are yet to be parsed by the call's own schema. */
export type ControlLine =
  { item: unknown } | { progress: ProgressRecord } | { result: unknown } | { end: true } | { error: ErrorBody };

/** @throws Error for what is none */
export function parseControlLine(text: string): ControlLine {
  const line: unknown = JSON.parse(text);
  if (typeof line !== "object" || line === null) throw new Error("a line that is no object");
  const entries = Object.entries(line);
  const [key, value] = entries[0] ?? [];
  if (entries.length !== 1) throw new Error("a line with more or less than one key");
  switch (key) {
    case "item":
      return { item: value };
    case "progress":
      return { progress: progressEvent().parse(value) };
    case "result":
      return { result: value };
    case "end":
      return { end: true };
    case "error":
      return { error: errorBody().parse(value) };
    default:
      throw new Error("a line of an unknown kind");
  }
}

export function encodeControlLine(line: ControlLine): string {
  return `${JSON.stringify(line)}\n`;
}
