/** Mounted folders, for a person. What the guest named is escaped. */
import type { MountInfo } from "../../runtime/folders.ts";
import { escapeLine } from "../output/escape.ts";

/** Paths that are named for one mount. */
const MAX_NAMED = 10;

/** Sentences about files that programs of this machine run or obey, and that the sandbox wrote to. */
export function describeRisks(mounts: readonly MountInfo[]): string[] {
  return mounts.flatMap(({ hostPath, risks, moreRisks }) => {
    if (risks.length === 0) return [];
    const named = risks.slice(0, MAX_NAMED).map(({ path, why }) => `  ${escapeLine(`${hostPath}/${path}`)} (${why})`);
    const rest = risks.length - named.length + moreRisks;
    const more = rest === 0 ? [] : [`  and ${rest} more`];
    return [["the sandbox wrote to files that run code on this machine; look at them:", ...named, ...more].join("\n")];
  });
}
