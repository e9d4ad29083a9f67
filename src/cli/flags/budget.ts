/** What a new sandbox may use before it is ended; shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import { REFERENCE_RATES } from "../../metering/rates.ts";
import type { SandboxSpec } from "../../runtime/types.ts";
import { parseDollars, parsePrice } from "../parsers/price.ts";
import { durationFlag } from "./common.ts";
import type { Price } from "../../metering/rates.ts";

export const budgetFlags = {
  "max-cpu-time": durationFlag({ summary: "End the sandbox when its machine has had this much processor time." }),
  "max-cost": Flags.custom<number>({
    summary: "End the sandbox when its processor time and memory have cost this many dollars.",
    helpValue: "DOLLARS",
    parse: async (text) => parseDollars(text),
  })(),
  price: Flags.custom<Price>({
    summary: "Prices for --max-cost; those of the reference service if absent (sbx usage --help).",
    helpValue: "PRICES",
    dependsOn: ["max-cost"],
    parse: async (text) => parsePrice(text),
  })(),
};

export interface BudgetFlagValues {
  "max-cpu-time"?: number | undefined;
  "max-cost"?: number | undefined;
  price?: Price | undefined;
}

export function toBudget(flags: BudgetFlagValues): Pick<SandboxSpec, "budget"> {
  const { "max-cpu-time": cpuMs, "max-cost": limit, price } = flags;
  if (cpuMs === undefined && limit === undefined) return {};
  return {
    budget: {
      ...(cpuMs === undefined ? {} : { cpuMs }),
      ...(limit === undefined ? {} : { cost: { limit, rates: price?.rates ?? REFERENCE_RATES } }),
    },
  };
}
