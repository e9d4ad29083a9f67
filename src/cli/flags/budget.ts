/** What a new sandbox may use before it is ended; shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import type { BudgetLimit } from "../../metering/budget.ts";
import { REFERENCE_RATES, type Price } from "../../metering/rates.ts";
import type { SandboxSpec } from "../../runtime/types.ts";
import { parseDollars, parsePrice } from "../parsers/price.ts";
import { durationFlag } from "./common.ts";

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
  const { "max-cpu-time": ms, "max-cost": dollars, price } = flags;
  const budget: BudgetLimit[] = [];
  if (ms !== undefined) budget.push({ kind: "cpu", ms });
  if (dollars !== undefined) budget.push({ kind: "cost", dollars, rates: price?.rates ?? REFERENCE_RATES });
  return budget.length === 0 ? {} : { budget };
}
