/** What an organisation may use in a calendar month, by the meter of its runtime. */
import { sumAmounts, type Amounts } from "../../metering/amounts.ts";
import type { BudgetLimit } from "../../metering/budget.ts";
import { costOf, REFERENCE_RATES } from "../../metering/rates.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { ApiError } from "../api-error.ts";
import type { Quotas } from "../config.ts";

/** What was read of the meter is believed this long: many sandboxes a second are made, `ms`. */
const FRESH_MS = 2_000;

type MonthlyQuotas = Pick<Quotas, "cpuTimePerMonth" | "costPerMonth">;

export class MonthlyBudget {
  readonly #runtime: Pick<Runtime, "metering">;
  readonly #quotas: MonthlyQuotas;
  readonly #now: () => number;
  #used: { at: number; month: number; amounts: Promise<Amounts> } | undefined;

  /** @param now epoch `ms` */
  constructor(runtime: Pick<Runtime, "metering">, quotas: MonthlyQuotas, now: () => number) {
    this.#runtime = runtime;
    this.#quotas = quotas;
    this.#now = now;
  }

  /**
   * What is left of the month, as the budget of a new sandbox; nothing where there is no such quota. Several sandboxes at
   * once may each use what is left.
   *
   * @throws ApiError `QUOTA_EXCEEDED` where nothing is left
   */
  async remaining(): Promise<BudgetLimit[]> {
    const { cpuTimePerMonth, costPerMonth } = this.#quotas;
    if (cpuTimePerMonth === null && costPerMonth === null) return [];
    const amounts = await this.#thisMonth();
    const left: BudgetLimit[] = [];
    if (cpuTimePerMonth !== null) {
      const ms = cpuTimePerMonth - amounts.cpuMs;
      if (ms <= 0) throw exceeded("processor time");
      left.push({ kind: "cpu", ms });
    }
    if (costPerMonth !== null) {
      const dollars = costPerMonth - costOf(amounts, { rates: REFERENCE_RATES, included: {} });
      if (dollars <= 0) throw exceeded("money");
      left.push({ kind: "cost", dollars, rates: REFERENCE_RATES });
    }
    return left;
  }

  async #thisMonth(): Promise<Amounts> {
    const now = this.#now();
    const month = startOfMonth(now);
    if (this.#used === undefined || this.#used.month !== month || now - this.#used.at > FRESH_MS) {
      this.#used = { at: now, month, amounts: this.#read(month) };
      // What could not be read is read again by whoever asks next.
      this.#used.amounts.catch(() => (this.#used = undefined));
    }
    return this.#used.amounts;
  }

  async #read(since: number): Promise<Amounts> {
    return sumAmounts(await this.#runtime.metering.read({ since }));
  }
}

function exceeded(what: string): ApiError {
  return new ApiError(
    "QUOTA_EXCEEDED",
    `the ${what} of this month is used up; it begins again with the next one (UTC)`,
  );
}

function startOfMonth(now: number): number {
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
}
