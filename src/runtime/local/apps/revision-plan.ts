/** What an instance of a revision is made of: its files, its variables, its network, its program. */
import type { StoredVariable } from "../../../store/apps/app-documents.ts";
import type { RevisionRow } from "../../../store/apps/revision-store.ts";
import type { AppContext } from "./app-context.ts";
import { usage } from "./app-faults.ts";
import { networkOf, OPEN_NETWORK } from "./carried-network.ts";
import type { ContentStore } from "./content-store.ts";
import { APP_PORT, entryCommand } from "./entry-command.ts";
import type { AppRuntime, InstancePlan } from "./instances.ts";
import { isIn } from "./variables.ts";

export interface PlanOptions {
  context: AppContext;
  runtime: Pick<AppRuntime, "secrets">;
  contents: ContentStore;
}

/** @throws SbxError `secrets_broken` */
export async function planInstance(
  { context, runtime, contents }: PlanOptions,
  row: RevisionRow,
  name: InstancePlan["context"],
): Promise<InstancePlan> {
  const { id, content, document } = row;
  if (content === null) throw usage(`the revision ${id} has no files`);
  const network = document.network ?? OPEN_NETWORK;
  // Those that were given with a sandbox, and are not stored, went with it.
  const stored = network.secrets.length === 0 ? [] : await runtime.secrets.names();
  const known = new Set(stored.map((secret) => secret.name));
  const bound = networkOf(network, known);
  return {
    ...{ revision: id, context: name, app: row.app.slug },
    network: bound,
    // The value of a sealed variable would lie open on the disk; a placeholder would be refused in the copy.
    isWarmable: bound.secrets.length === 0 && !document.inherited.some((one) => one.sealed !== null && isIn(one, name)),
    missingSecrets: network.secrets.filter((secret) => !known.has(secret)),
    env: { ...(await variablesFor(context, row, name)), ...runtimeVariables(row) },
    readFiles: async () => (await contents.read(content)).chunks,
    findCommand: async (sandbox) => entryCommand(document.config, sandbox.files),
  };
}

/** Those of layers, then of the app, then of the revision itself: the later one goes before the earlier one. */
export async function variablesFor(
  { sealed }: AppContext,
  { document }: RevisionRow,
  name: string,
): Promise<Record<string, string>> {
  const valueOf = async (variable: StoredVariable): Promise<string> =>
    variable.sealed === null ? (variable.value ?? "") : sealed.open(variable.sealed);
  const env: Record<string, string> = {};
  for (const variable of document.inherited.filter((one) => isIn(one, name))) {
    env[variable.key] = await valueOf(variable);
  }
  for (const { key, value } of document.env) env[key] = value;
  return env;
}

/** Nobody's to set: keys that begin so are refused where variables are made. */
function runtimeVariables({ id, app }: RevisionRow): Record<string, string> {
  return {
    ...{ PORT: String(APP_PORT), DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${APP_PORT}` },
    ...{ DENO_DEPLOY: "1", DENO_DEPLOYMENT_ID: id, DENO_DEPLOY_BUILD_ID: id, DENO_DEPLOY_APP_SLUG: app.slug },
    ...{ DENO_DEPLOY_APP_ID: app.id },
  };
}
