/** A sandbox for a client that has asked for one, within what its organisation may have. */
import type { Sandbox } from "../../runtime/runtime.ts";
import { DEFAULT_SETTINGS } from "../../runtime/defaults.ts";
import { findVolume, requireRoot } from "../organisations/find-exactly.ts";
import type { Tenant } from "../organisations/tenant.ts";
import { parseSandboxConfig } from "../sandbox-config.ts";
import type { ControlPlane } from "../control-plane.ts";
import { ownEnvironment } from "./own-environment.ts";

export interface CreatedSandbox {
  id: string;
  livesWithSession: boolean;
  /** Ends the sandbox if it lives with its session; otherwise lets go of it. */
  release(): Promise<void>;
  /** For a client that will never learn of it. */
  remove(): Promise<void>;
}

/** @param header the configuration, as the client sent it */
export async function createSandbox(
  plane: ControlPlane,
  tenant: Tenant,
  header: string | undefined,
  signal: AbortSignal,
): Promise<CreatedSandbox> {
  const { runtime, quotas } = tenant;
  const { environment, now } = plane.options;
  const { spec, secretValues, references } = parseSandboxConfig(header, quotas, now());
  for (const volume of references.volumes) await findVolume(runtime, volume);
  if (references.root !== null) await requireRoot(runtime, references.root);
  const cpus = spec.cpus ?? Math.min(DEFAULT_SETTINGS.cpus, quotas.cpus);
  const { checkpoint, memoryBytes = DEFAULT_SETTINGS.memoryBytes } = spec;
  const demand = checkpoint === undefined ? { memoryBytes, cpus } : await runtime.checkpoints.get(checkpoint);
  // One from a checkpoint has the processors that it had.
  const wanted = { ...spec, ...(checkpoint === undefined ? { cpus } : {}) };
  const begun = performance.now();
  let sandbox: Sandbox;
  try {
    sandbox = await tenant.admit(demand, async (left) => {
      const budget = [...(spec.budget ?? []), ...left];
      const limited = budget.length === 0 ? wanted : { ...wanted, budget };
      return tenant.endings.whenFree(
        async () => runtime.create(limited, { signal, secretValues, environment: ownEnvironment(environment) }),
        signal,
      );
    });
  } catch (error) {
    plane.metrics.creation(false, (performance.now() - begun) / 1000);
    throw error;
  }
  plane.metrics.creation(true, (performance.now() - begun) / 1000);
  const release = async (): Promise<void> => tenant.endings.track(sandbox[Symbol.asyncDispose]());
  return {
    id: sandbox.id,
    livesWithSession: spec.lifetime.kind === "session",
    release,
    async remove() {
      await release();
      await runtime.remove(sandbox.id);
    },
  };
}
