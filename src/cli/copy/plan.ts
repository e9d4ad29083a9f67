/** Sorts the operands of `sbx copy` into transfers. Pure; the operands are parsed already. */
import type { CopyOperand } from "../parsers/copy-operand.ts";
import { usageError } from "../parsers/usage-error.ts";

/** One call of the runtime: sources of one place. */
export type Transfer =
  | { kind: "upload"; sources: string[]; sandbox: string; destination: string }
  | { kind: "download"; sandbox: string; sources: string[]; destination: string }
  | { kind: "between"; sandbox: string; sources: string[]; target: string; destination: string };

/**
 * The transfers that put all sources into the target, in the order of the sources' places.
 *
 * @throws SbxError `usage` when no operand names a sandbox
 */
export function planCopy(sources: readonly CopyOperand[], target: CopyOperand): Transfer[] {
  const places = new Map<string, CopyOperand[]>();
  for (const source of sources) {
    const place = source.kind === "host" ? "host" : `guest ${source.sandbox}`;
    places.set(place, [...(places.get(place) ?? []), source]);
  }
  // Sources of several places make several transfers; each must know that the target is a directory.
  const destination = places.size > 1 && !target.path.endsWith("/") ? `${target.path}/` : target.path;
  return [...places.values()].map((group) => toTransfer(group, target, destination));
}

function toTransfer(group: readonly CopyOperand[], target: CopyOperand, destination: string): Transfer {
  const first = group[0];
  const sources = group.map(({ path }) => path);
  if (first?.kind === "guest") {
    const { sandbox } = first;
    return target.kind === "host"
      ? { kind: "download", sandbox, sources, destination }
      : { kind: "between", sandbox, sources, target: target.sandbox, destination };
  }
  if (target.kind === "host") {
    throw usageError("neither side of the copy is a sandbox", "write a path in a sandbox as SANDBOX:PATH");
  }
  return { kind: "upload", sources, sandbox: target.sandbox, destination };
}
