/** Mounted folders, for a person. */
import type { CopyInfo, MountInfo } from "../../runtime/folders.ts";
import { humanSize } from "../output/human.ts";

/** Lines of `inspect` about mounts and copies. */
export function folderFields(mounts: readonly MountInfo[], copies: readonly CopyInfo[]): [string, string][] {
  return [
    ...mounts.map((mount): [string, string] => ["Mount", describeMount(mount)]),
    ...copies.map(({ hostPath, guestPath }): [string, string] => ["Copy", `${hostPath} at ${guestPath}`]),
  ];
}

export function copyJson({ copiedAt, ...copy }: CopyInfo): object {
  return { ...copy, copiedAt: new Date(copiedAt).toISOString() };
}

function describeMount({ hostPath, guestPath, access, quota, usedBytes, failure }: MountInfo): string {
  const where = `${hostPath} at ${guestPath}, ${access}`;
  if (failure !== null) return `${where}, not served any more: ${failure}`;
  if (access === "read-only") return where;
  return `${where}, grown by ${humanSize(Math.max(0, usedBytes))} of ${humanSize(quota.bytes)}`;
}

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
