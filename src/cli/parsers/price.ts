/** Prices as people write them: `reference`, or `cpu=0.05,memory=0.016,storage=0.2,out=0.01,in=0`. */
import { REFERENCE_INCLUDED, REFERENCE_RATES, type Included, type Price, type Rates } from "../../metering/rates.ts";
import { quoteValue, usageError } from "./usage-error.ts";

const KEYS: Readonly<Record<string, keyof Rates>> = {
  cpu: "cpuHour",
  memory: "memoryGbHour",
  storage: "storageGibMonth",
  out: "sentGb",
  in: "receivedGb",
};
const AMOUNT = /^\d{1,9}(?:\.\d{1,9})?$/;
const EXAMPLE = "write it as reference, or cpu=0.05,memory=0.016,storage=0.2,out=0.01,in=0";

/** What is not named costs nothing. @throws SbxError `usage` */
export function parsePrice(text: string): Price {
  if (text === "reference") return { rates: REFERENCE_RATES, included: {} };
  if (text === "reference-plan") return { rates: REFERENCE_RATES, included: REFERENCE_INCLUDED };
  return { rates: { ...NO_RATES, ...parseAmounts(text) }, included: {} };
}

const NO_RATES: Rates = { cpuHour: 0, memoryGbHour: 0, storageGibMonth: 0, sentGb: 0, receivedGb: 0 };

function parseAmounts(text: string): Included {
  const amounts: Included = {};
  for (const part of text.split(",")) {
    const [name = "", value = "", ...more] = part.split("=");
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    if (key === undefined || more.length > 0 || !AMOUNT.test(value)) {
      throw usageError(`${quoteValue(part)} is no price`, EXAMPLE);
    }
    if (amounts[key] !== undefined) throw usageError(`${quoteValue(name)} has two prices`, EXAMPLE);
    amounts[key] = Number(value);
  }
  return amounts;
}

/** Dollars of a budget: `0.05` or `$0.05`. @throws SbxError `usage` */
export function parseDollars(text: string): number {
  const digits = text.startsWith("$") ? text.slice(1) : text;
  const amount = AMOUNT.test(digits) ? Number(digits) : 0;
  if (amount > 0) return amount;
  throw usageError(`${quoteValue(text)} is no amount of money`, "write it as 0.05 (US dollars)");
}
