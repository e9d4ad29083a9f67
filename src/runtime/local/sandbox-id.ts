/** Sandbox ids: `sbx_`, a region of three letters, 20 characters without i, l and o (deno-sandbox protocol, 1.3). */
import { newResourceId } from "../../host/resource-id.ts";
import { SbxError } from "../errors.ts";
import type { SandboxRow } from "../../store/sandbox-store.ts";
import { isLive } from "../../store/lifecycle.ts";

export const LOCAL_REGION = "loc";
export const SANDBOX_ID = /^sbx_([a-z]{3})_[0-9a-hjkmnp-z]{20}$/;

/** Names are also host names in the guest. */
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export function newSandboxId(): string {
  return newResourceId("sbx", LOCAL_REGION);
}

/** @throws SbxError `usage` for what no sandbox may be called */
export function checkSandboxName(name: string): void {
  if (NAME.test(name) && !name.startsWith("sbx-")) return;
  throw new SbxError("usage", `${JSON.stringify(name)} cannot be the name of a sandbox`, {
    hint: "a name has up to 63 lower-case letters, digits and dashes, and does not begin with sbx-",
  });
}

/**
 * Finds the sandbox that is meant: a full id, then a name, then a unique prefix of either (an id also without
 * `sbx_loc_`). In each step live sandboxes go before stopped ones; of stopped ones with one name the newest is meant.
 * A whole name never means another sandbox: after `web` is over, `sbx kill web` must not end `web2`.
 *
 * @param rows the newest first
 *
 * @throws SbxError `sandbox_not_found`, `sandbox_ambiguous`
 */
export function findSandbox(rows: readonly SandboxRow[], ref: string): SandboxRow {
  const exact = rows.find(({ id }) => id === ref);
  if (exact !== undefined) return exact;
  const live = rows.filter(({ status }) => isLive(status));
  const stopped = rows.filter(({ status }) => !isLive(status));
  const named = [...live, ...stopped].find(({ name }) => name === ref);
  if (named !== undefined) return named;
  for (const group of [live, stopped]) {
    const matches = ref === "" ? [] : group.filter((row) => startsWith(row, ref));
    const [only] = matches;
    if (matches.length === 1 && only !== undefined) return only;
    if (matches.length > 1) throw ambiguous(ref, matches);
  }
  throw new SbxError("sandbox_not_found", `there is no sandbox ${JSON.stringify(ref)}`, { hint: "sbx list" });
}

function startsWith({ id, name }: SandboxRow, ref: string): boolean {
  return (
    id.startsWith(ref) || id.slice(`sbx_${LOCAL_REGION}_`.length).startsWith(ref) || name?.startsWith(ref) === true
  );
}

function ambiguous(ref: string, matches: readonly SandboxRow[]): SbxError {
  const names = matches.slice(0, 5).map(({ id, name }) => name ?? id);
  const more = matches.length > names.length ? `, and ${matches.length - names.length} more` : "";
  return new SbxError("sandbox_ambiguous", `${JSON.stringify(ref)} may mean ${names.join(", ")}${more}`, {
    hint: "sbx list",
  });
}
