/** Starts a sandbox from a machine that was saved while it ran. */
import { randomBytes } from "node:crypto";
import { writeFileSync, truncateSync } from "node:fs";
import path from "node:path";
import { inheritBudget, type Budget } from "../../../metering/budget.ts";
import type { PolicySpec } from "../../../policy/spec.ts";
import { LAUNCH_VERSION, type LaunchMachine, type SandboxLaunch } from "../../../protocol/launch.ts";
import { findJailTools } from "../../../vm/jail.ts";
import { layerPath } from "../../../vm/restore-options.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, Lifetime, NetworkSpec } from "../../types.ts";
import { admit } from "../admission.ts";
import { openChain } from "../disks/chain.ts";
import { emptyQcow2 } from "../disks/empty-qcow2.ts";
import { knownQemu } from "../known-qemu.ts";
import { prepareNetwork, type NetworkLaunch } from "../network/network-launch.ts";
import { newSandboxId } from "../sandbox-id.ts";
import { startSandbox, type CreateContext } from "../start-sandbox.ts";
import { socketPathOf } from "../state.ts";
import { makeVolumeCopies, type SealedVolume, type VolumeCopies } from "./volume-copies.ts";
import { checkShape, type SavedFiles, type SavedMachine } from "./saved-machine.ts";

export interface CopyOrigin {
  /** For messages. */
  name: string;
  saved: SavedMachine;
  files: SavedFiles;
  /** Sealed layer of the root disk. */
  layerId: string;
  /** Volumes that its guest has mounted: each copy gets its own. */
  volumes: readonly SealedVolume[];
}

export interface CopySpec {
  name: string | null;
  lifetime: Lifetime;
  labels: Record<string, string>;
  env: Record<string, string>;
  /** In the place of the saved machine's, for each kind of limit that is given. */
  budget?: Budget | undefined;
}

/** What all copies of one machine have in common, found once. */
export interface CopyPlan {
  origin: CopyOrigin;
  machine: LaunchMachine;
  network: NetworkLaunch;
  rootLayers: SandboxLaunch["rootLayers"];
}

/**
 * @throws SbxError `checkpoint_broken`, `snapshot_broken`, `insufficient_resources`, and what a secret without a value is
 */
export async function planCopies(
  context: CreateContext,
  origin: CopyOrigin,
  options: CallOptions & CallerEnvironment,
): Promise<CopyPlan> {
  const { state, vault } = context;
  const { saved, name } = origin;
  const { memoryBytes, cpus } = saved.machine;
  await admit({ memoryBytes, cpus, diskBytes: saved.diskBytes }, state.paths.statePath);
  const [qemu, tools, network, rootLayers] = await Promise.all([
    knownQemu(state.paths),
    findJailTools(),
    prepareNetwork(vault, networkOf(saved), options),
    openChain(context, origin.layerId, { kind: "checkpoint", slug: name }),
  ]);
  checkShape(saved, qemu, name);
  return { origin, network, rootLayers, machine: { qemu, tools, machine: saved.machine, diskBytes: saved.diskBytes } };
}

/** A copy that runs. */
export interface StartedCopy {
  sandbox: Sandbox;
  /** After it was ended: for one that is not wanted any more, and whose volumes nobody knows yet. */
  takeBack: () => Promise<void>;
}

/** @throws SbxError `name_in_use`, or why it does not start; nothing of it is left then but its record */
export async function startCopy(
  context: CreateContext,
  plan: CopyPlan,
  spec: CopySpec,
  options: CallOptions,
): Promise<StartedCopy> {
  const { disks } = context.state;
  const { layerId, volumes } = plan.origin;
  let copies: VolumeCopies | undefined;
  const takeBack = async (): Promise<void> => copies?.takeBack();
  try {
    const sandbox = await startSandbox(context, copyLaunch(context, plan, spec), {
      ...options,
      settings: plan.network.settings,
      prepare: async (launch) => {
        const disk = { base: layerId, hasTemplate: false, snapshotId: null, head: null, next: null };
        disks.change(() => disks.claims.setDisk({ sandboxId: launch.id, ...disk }));
        makeLayer(layerPath(launch.directory), launch.diskBytes);
        if (volumes.length === 0) return launch;
        copies = await makeVolumeCopies(context, volumes, launch.id);
        return { ...launch, held: copies.held };
      },
    });
    copies?.keep();
    return { sandbox, takeBack };
  } catch (error) {
    await takeBack();
    throw error;
  }
}

function copyLaunch({ state, folders }: CreateContext, plan: CopyPlan, spec: CopySpec): SandboxLaunch {
  const { saved, files } = plan.origin;
  const id = newSandboxId();
  const directory = path.join(state.paths.sandboxesPath, id);
  const session = spec.lifetime.kind === "session";
  return {
    ...plan.machine,
    kind: "sandbox",
    version: LAUNCH_VERSION,
    ...{ id, name: spec.name, createdAt: Date.now(), directory },
    socketPath: socketPathOf(state.paths, id),
    databasePath: state.paths.databasePath,
    layersPath: state.paths.layersPath,
    rootLayers: [...plan.rootLayers, { path: layerPath(directory), format: "qcow2" }],
    rootWrites: "discarded",
    start: { kind: "restore", memoryPath: files.memoryPath, statePath: files.statePath },
    volumes: [],
    spec: { ...saved.spec, labels: spec.labels, session, budget: inheritBudget(saved.spec.budget, spec.budget) },
    lifetime: spec.lifetime.kind === "session" ? { kind: "session", token: newToken() } : spec.lifetime,
    env: { ...saved.environment, ...spec.env },
    egress: plan.network.egress,
    past: saved.past,
    ...(folders === undefined ? {} : { folders }),
    hostname: spec.name ?? `sbx-${id.slice(-8)}`,
    // A machine with volumes is given them before it is restored.
    prestarted: plan.machine.tools.bubblewrap !== null && plan.origin.volumes.length === 0,
  };
}

function newToken(): string {
  return randomBytes(16).toString("hex");
}

/** The values of its secrets are looked for where those of a new sandbox are: the source's never leave its supervisor. */
function networkOf({ egress, extraRootsPem }: SavedMachine): NetworkSpec {
  const { secrets, onLeak, inspect, hookPath, resolve } = egress;
  // What was saved came out of a policy that was parsed.
  const policy = egress.policy as PolicySpec;
  return { policy, secrets, onLeak, inspect, hookPath, resolve, extraRootsPem };
}

function makeLayer(target: string, diskBytes: number): void {
  const { head, fileBytes } = emptyQcow2(diskBytes, "qcow2");
  writeFileSync(target, head, { flag: "wx", mode: 0o600 });
  truncateSync(target, fileBytes);
}
