/** Options that several commands share. Their values are the user's own and parsed by src/cli/parsers. */
import type { AlphabetLowercase } from "@oclif/core/interfaces";
import * as Flags from "@oclif/core/flags";
import { parseDuration } from "../parsers/duration.ts";
import { parseLabel } from "../parsers/label.ts";

/** An option without a value: false unless given (oclif would leave it undefined). */
export function switchFlag(options: {
  char?: AlphabetLowercase;
  summary: string;
  helpGroup?: string;
  exclusive?: string[];
}) {
  return Flags.boolean({ default: false, ...options });
}

/** Options of every command. */
export const baseFlags = {
  json: switchFlag({ char: "j", summary: "Print JSON; errors too, on stderr.", helpGroup: "GLOBAL" }),
  quiet: switchFlag({ char: "q", summary: "Print no more than the essential.", helpGroup: "GLOBAL" }),
};

/** Of every command that calls a runtime. */
export const contextFlag = Flags.string({
  summary: "Where: a context, or the address of a server.",
  helpValue: "NAME",
  helpGroup: "GLOBAL",
});

export interface BaseFlagValues {
  json: boolean;
  quiet: boolean;
}

export const yesFlag = switchFlag({ char: "y", summary: "Do not ask, do it." });

/** `--label KEY=VALUE`, any number of times; each is refused here if it is none. */
export function labelFlag(summary: string) {
  return Flags.string({
    char: "l",
    summary,
    helpValue: "KEY=VALUE",
    multiple: true,
    multipleNonGreedy: true,
    parse: async (text) => {
      parseLabel(text);
      return text;
    },
  });
}

export const labelFilterFlag = labelFlag("Only sandboxes with this label.");

/** A duration within the given bounds, `ms`. */
export const durationFlag = Flags.custom<number, { minMs?: number; maxMs?: number }>({
  helpValue: "DURATION",
  parse: async (text, _context, options) =>
    options.minMs === undefined || options.maxMs === undefined
      ? parseDuration(text)
      : parseDuration(text, { minMs: options.minMs, maxMs: options.maxMs }),
});
