/** Which of an app's timelines somebody means. */
import type { TimelineInfo } from "../../runtime/apps.ts";
import { usageError } from "../parsers/usage-error.ts";

const PRODUCTION = "production";

/**
 * Production, or that of a revision: its preview, else production where it is that.
 *
 * @throws SbxError `usage` where there is none
 */
export function findTimeline(app: string, timelines: readonly TimelineInfo[], revision?: string): TimelineInfo {
  const found =
    revision === undefined
      ? timelines.find(({ slug }) => slug === PRODUCTION)
      : timelines
          .filter((timeline) => timeline.revision === revision)
          .toSorted((a, b) => Number(a.slug === PRODUCTION) - Number(b.slug === PRODUCTION))[0];
  if (found !== undefined) return found;
  if (revision === undefined) throw usageError(`${app} has nothing in production`, `sbx deploy SOURCE ${app} --prod`);
  throw usageError(`the revision ${revision} is not active anywhere`, `sbx app promote ${app} ${revision}`);
}

/** Of a timeline, below a gateway's domain. */
export function timelineName({ slug, app, revision }: TimelineInfo): string {
  return slug === PRODUCTION || revision === null ? app.slug : `${app.slug}-${revision}`;
}
