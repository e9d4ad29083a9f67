/** URLs of a sandbox, for a person and for programs. */
import type { Exposure } from "../../runtime/exposures.ts";
import { humanDuration } from "../output/human.ts";
import type { Column } from "../output/table.ts";

export const EXPOSURE_COLUMNS: readonly Column[] = [{ title: "PORT" }, { title: "URL" }, { title: "CREATED" }];

export function exposureRow({ guestPort, url, createdAt }: Exposure, nowMs: number): string[] {
  return [String(guestPort), url, `${humanDuration(nowMs - createdAt)} ago`];
}

export function exposureJson({ createdAt, ...exposure }: Exposure): object {
  return { ...exposure, createdAt: new Date(createdAt).toISOString() };
}

/** Lines of `inspect`. */
export function exposureFields(exposures: readonly Exposure[]): [string, string][] {
  return exposures.map(({ guestPort, url }) => ["URL", `${url} for port ${guestPort}`]);
}
