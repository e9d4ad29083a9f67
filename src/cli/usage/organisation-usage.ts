/** What the organisations of this machine's control plane have used: for its operator, who has all of their files. */
import type { Price } from "../../metering/rates.ts";
import type { Settings } from "../../runtime/defaults.ts";
import type { MeteredUsage, MeteringQuery } from "../../runtime/metering.ts";
import { controlPlanePath, listOrganisations, openOrganisations } from "../../runtime/select.ts";
import { byCost, totalUsage, type UsageGroup } from "./group-usage.ts";

export interface OrganisationUsage {
  groups: UsageGroup[];
  rows: MeteredUsage[];
}

/** @param data as `--data` says */
export async function organisationUsage(
  settings: Settings,
  data: string | undefined,
  { query, price, signal }: { query: MeteringQuery; price: Price | null; signal: AbortSignal },
): Promise<OrganisationUsage> {
  const directory = await controlPlanePath(data);
  await using organisations = await openOrganisations(settings, directory);
  const used: OrganisationUsage = { groups: [], rows: [] };
  for (const name of await listOrganisations(directory)) {
    const rows = await (await organisations.open(name)).metering.read(query, { signal });
    used.rows.push(...rows);
    if (rows.length > 0) used.groups.push({ ...totalUsage(rows, price && { ...price, included: {} }), key: name });
  }
  return { ...used, groups: byCost(used.groups) };
}
