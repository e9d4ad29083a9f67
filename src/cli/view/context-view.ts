/** Contexts as text and JSON; never a token. */
import type { ChosenContext } from "../../runtime/contexts/choose-context.ts";
import { LOCAL_CONTEXT } from "../../runtime/contexts/target.ts";
import type { Contexts } from "../../runtime/contexts/context-file.ts";
import type { Column } from "../output/table.ts";

export const CONTEXT_COLUMNS: readonly Column[] = [
  { title: "" },
  { title: "NAME", minWidth: 8 },
  { title: "SERVER", minWidth: 20 },
  { title: "ORGANISATION" },
  { title: "TOKEN" },
];

export interface ContextView {
  name: string;
  /** `null` for this machine. */
  endpoint: string | null;
  organisation: string | null;
  hasToken: boolean;
  /** Whether commands use it, as things stand. */
  current: boolean;
}

/** This machine first, then those of the file by name, and the one that the environment names by its address. */
export function contextViews({ contexts }: Contexts, chosen: ChosenContext | undefined): ContextView[] {
  const views: ContextView[] = [
    { name: LOCAL_CONTEXT, endpoint: null, organisation: null, hasToken: false, current: chosen?.endpoints === null },
  ];
  for (const [name, { endpoint, organisation, token }] of Object.entries(contexts).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    const current = chosen?.isStored === true && chosen.name === name;
    views.push({ name, endpoint, organisation, hasToken: token !== null, current });
  }
  if (chosen !== undefined && chosen.endpoints !== null && !chosen.isStored) {
    const { endpoint, organisation } = chosen.endpoints;
    views.push({ name: endpoint, endpoint, organisation, hasToken: chosen.token !== null, current: true });
  }
  return views;
}

export function contextRow({ name, endpoint, organisation, hasToken, current }: ContextView): string[] {
  const token = endpoint === null ? "-" : hasToken ? "yes" : "none";
  return [current ? "*" : "", name, endpoint ?? "this machine", organisation ?? "-", token];
}

const SOURCES: Readonly<Record<ChosenContext["source"], string>> = {
  option: "you named it",
  environment: "SBX_CONTEXT",
  file: "sbx context use",
  default: "nothing else was chosen",
};
const TOKEN_SOURCES = { environment: "SBX_TOKEN", file: "kept since the login" } as const;

/** Lines of `sbx context show`. */
export function describeContext({ name, source, endpoints, tokenSource }: ChosenContext): [string, string][] {
  const lines: [string, string][] = [
    ["context", name],
    ["server", endpoints?.endpoint ?? "none: this machine"],
  ];
  if (endpoints !== null) {
    if (endpoints.sandboxEndpoint !== null) lines.push(["sandboxes at", endpoints.sandboxEndpoint]);
    lines.push(["organisation", endpoints.organisation ?? "the token's own"]);
    lines.push(["token", tokenSource === null ? "none; sbx login" : TOKEN_SOURCES[tokenSource]]);
  }
  return [...lines, ["because of", SOURCES[source]]];
}

export function chosenJson({ name, source, endpoints, tokenSource }: ChosenContext): Record<string, unknown> {
  return {
    ...{ name, source, endpoint: endpoints?.endpoint ?? null, sandboxEndpoint: endpoints?.sandboxEndpoint ?? null },
    ...{ organisation: endpoints?.organisation ?? null, token: tokenSource },
  };
}
