/** Chooses the runtime behind a command: the one place that knows them all. Imports lazily, since start-up time counts. */
import { LOCAL_TARGET, type RemoteTarget, type RuntimeTarget } from "./contexts/target.ts";
import type { Settings } from "./defaults.ts";
import type { OrganisationRuntimes } from "./organisations.ts";
import type { Runtime } from "./runtime.ts";

export interface RuntimePlace {
  /** This machine if absent. */
  target?: RuntimeTarget;
  /** Of this machine's runtime: directory of all state, absolute, instead of where the environment says. */
  home?: string;
}

/**
 * Opens the runtime of a target, and never another one.
 *
 * @throws SbxError when its state cannot be read, or the control plane not be reached
 */
export async function openRuntime(
  settings: Settings,
  { target = LOCAL_TARGET, home }: RuntimePlace = {},
): Promise<Runtime> {
  if (target.kind === "remote") return openRemote(target);
  const { openLocalRuntime } = await import("./local/index.ts");
  if (home === undefined) return openLocalRuntime(settings);
  const { statePaths } = await import("./local/paths.ts");
  return openLocalRuntime(settings, statePaths({ ...process.env, SBX_HOME: home }));
}

async function openRemote(target: RemoteTarget): Promise<Runtime> {
  const [{ openRemoteRuntime }, { localClientMachine }] = await Promise.all([
    import("./remote/index.ts"),
    import("./local/client-machine.ts"),
  ]);
  return openRemoteRuntime({ ...target, machine: localClientMachine() });
}

/** Directory in which a control plane on this machine keeps its records; one beside the user's own if none is given. */
export async function controlPlanePath(given?: string): Promise<string> {
  return (await import("./local/organisations/organisation-paths.ts")).controlPlanePath(given);
}

/** Names of the organisations of a control plane on this machine. @param directory as {@link controlPlanePath} says */
export async function listOrganisations(directory: string): Promise<string[]> {
  return (await import("./local/organisations/organisation-paths.ts")).listOrganisations(directory);
}

/** The runtimes behind a control plane on this machine. @param directory as {@link controlPlanePath} says */
export async function openOrganisations(settings: Settings, directory: string): Promise<OrganisationRuntimes> {
  const { localOrganisations } = await import("./local/organisations/local-organisations.ts");
  return localOrganisations(settings, directory);
}
