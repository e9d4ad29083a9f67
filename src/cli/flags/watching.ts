/** Options of commands that look at what happened: how far back, how much, and whether to go on. */
import * as Flags from "@oclif/core/flags";
import { parseCount } from "../parsers/count.ts";
import { parseMoment } from "../parsers/moment.ts";

const MAX_TAIL = 1_000_000;

/** A moment, epoch `ms`. */
export function momentFlag(summary: string) {
  return Flags.custom<number>({
    summary,
    helpValue: "TIME",
    parse: async (text) => parseMoment(text, Date.now()),
  })();
}

/** @param things such as `lines` */
export function tailFlag(things: string) {
  return Flags.custom<number>({
    char: "n",
    summary: `Only the last ${things}.`,
    helpValue: "N",
    parse: async (text) => parseCount(text, { min: 0, max: MAX_TAIL }),
  })();
}
