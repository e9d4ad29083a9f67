/** Mounted folders, for a person. */
import type { MountInfo } from "../../runtime/folders.ts";

/** Paths that are named for one mount. */
const MAX_NAMED = 10;

/** Lines about files that run code on this machine and that the sandbox wrote to. The names are the guest's, as they are. */
export function describeRisks(mounts: readonly MountInfo[]): string[] {
  return mounts.flatMap(({ hostPath, risks, moreRisks }) => {
    if (risks.length === 0) return [];
    const named = risks.slice(0, MAX_NAMED).map(({ path, why }) => `  ${hostPath}/${path} (${why})`);
    const rest = risks.length - named.length + moreRisks;
    const more = rest === 0 ? [] : [`  and ${rest} more`];
    return ["the sandbox wrote to files that run code on this machine; look at them:", ...named, ...more];
  });
}
