/** What `sbx prune` removed, in words. */
import type { PruneReport } from "../../runtime/types.ts";
import { escapeLine } from "../output/escape.ts";
import { humanSize } from "../output/human.ts";

const PLURALS: Readonly<Record<PruneReport["removed"][number]["kind"], readonly [string, string]>> = {
  sandbox: ["sandbox", "sandboxes"],
  image: ["image", "images"],
  template: ["template", "templates"],
  volume: ["volume", "volumes"],
  layer: ["layer", "layers"],
  directory: ["directory", "directories"],
  process: ["process", "processes"],
};

/** Such as `2 sandboxes, 1 template (1.2 GiB)`; `nothing` if so. */
export function describePrune({ removed }: PruneReport): string {
  const kinds = (Object.keys(PLURALS) as (keyof typeof PLURALS)[]).flatMap((kind) => {
    const count = removed.filter((item) => item.kind === kind).length;
    return count === 0 ? [] : [`${count} ${PLURALS[kind][count === 1 ? 0 : 1]}`];
  });
  if (kinds.length === 0) return "nothing";
  const bytes = removed.reduce((sum, item) => sum + item.bytes, 0);
  return `${kinds.join(", ")} (${humanSize(bytes)})`;
}

/** A line for each thing. */
export function pruneLines({ removed }: PruneReport): string[] {
  return removed.map(({ kind, id, bytes }) => `${kind} ${escapeLine(id)}${bytes > 0 ? ` (${humanSize(bytes)})` : ""}`);
}
