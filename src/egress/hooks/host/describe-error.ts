/** What an error of the user's code says, and where in it that happened. */
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import type { HostFailure } from "../hook-messages.ts";

/** sbx's own code, as it stands in a stack: these files, or the one that they are bundled into. */
const OWN = import.meta.url.endsWith(".ts") ? new URL("..", import.meta.url).href : import.meta.url;

/** @param modulePath for a syntax error without a place: V8 keeps that of a module to itself */
export function describeError(error: unknown, modulePath?: string): HostFailure {
  if (!(error instanceof Error)) return { message: `threw ${inspect(error)}`, at: null };
  const { stack = "" } = error;
  return {
    message: `${error.name}: ${error.message}`.slice(0, 1000),
    at:
      placeOfSyntaxError(stack) ??
      placeInFrames(stack) ??
      (modulePath === undefined ? null : reparse(error, modulePath)),
  };
}

/** Node puts `PATH:LINE`, the line and a caret before the name of a syntax error. */
function placeOfSyntaxError(stack: string): string | null {
  const place = /^((?:file:\/\/)?\/.*:\d+)\n/.exec(stack)?.[1];
  return place === undefined ? null : shorten(place);
}

function placeInFrames(stack: string): string | null {
  for (const [, place, line] of stack.matchAll(/^ {4}at .*?((?:file:\/\/)\/[^\n()]*?):(\d+):\d+\)?$/gm)) {
    if (place !== undefined && line !== undefined && !place.startsWith(OWN)) return shorten(`${place}:${line}`);
  }
  return null;
}

function shorten(place: string): string {
  return place.startsWith("file://") ? fileURLToPath(place) : place;
}

/** The parser that strips types says where it gives up, also for JavaScript. */
function reparse(error: Error, modulePath: string): string | null {
  if (!(error instanceof SyntaxError)) return null;
  try {
    stripTypeScriptTypes(readFileSync(modulePath, "utf8"), { sourceUrl: modulePath });
    return null;
  } catch (again) {
    return placeOfSyntaxError(String((again as Error).stack));
  }
}

function inspect(value: unknown): string {
  try {
    const text: unknown = JSON.stringify(value);
    return typeof text === "string" ? text.slice(0, 200) : typeof value;
  } catch {
    return typeof value;
  }
}
