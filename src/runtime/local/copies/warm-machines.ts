/**
 * Machines that are kept with their memory for apps: one for each revision and context, in which its program runs
 * already. They are checkpoints under names that nobody can give, in no list of the user's and in no quota; they come and
 * go with their revisions.
 */
import path from "node:path";
import { z } from "zod";
import type { Budget } from "../../../metering/budget.ts";
import { newCheckpointId } from "../../../store/disks/disk-names.ts";
import { APP_CHECKPOINTS, type CheckpointRow } from "../../../store/disks/checkpoint-store.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, Lifetime } from "../../types.ts";
import type { InstanceName, WarmInstances, WarmKey } from "../apps/warm-instances.ts";
import type { CreateContext } from "../start-sandbox.ts";
import { discardCheckpoint, makeCheckpoint, openCheckpoint } from "./checkpoint-files.ts";
import { createFromCheckpoint } from "./create-from-checkpoint.ts";
import { checkpointsPath } from "./scratch.ts";

/** Of one organisation; of more, the oldest go. */
const MAX_KEPT = 32;

const specSchema = z.object({ fit: z.string(), port: z.number().int().min(1).max(65_535) });

export interface WarmMachinesOptions {
  context: () => CreateContext;
  /** @throws SbxError for one that does not run */
  findRunning: (ref: string) => SandboxRow;
}

export class WarmMachines implements WarmInstances {
  readonly #options: WarmMachinesOptions;

  constructor(options: WarmMachinesOptions) {
    this.#options = options;
  }

  has(key: WarmKey): boolean {
    return this.#find(key) !== undefined;
  }

  async keep(key: WarmKey, sandboxId: string, port: number, { signal }: CallOptions = {}): Promise<void> {
    await this.discard(key);
    const context = this.#options.context();
    const source = this.#options.findRunning(sandboxId);
    const { disks, paths } = context.state;
    const { imageId, memoryBytes, cpus, diskBytes } = source.spec;
    const summary = { source: { id: source.id, name: source.name }, imageId, memoryBytes, cpus, diskBytes };
    const id = newCheckpointId();
    const spec = JSON.stringify({ ...summary, fit: key.fit, port });
    const row = { id, name: nameOf(key), directory: path.join(checkpointsPath(paths), id), spec };
    disks.change(() => disks.checkpoints.begin(row, Date.now()));
    await makeCheckpoint(context, source, row, signal);
    for (const old of disks.checkpoints.listOfApps().slice(MAX_KEPT)) await discardCheckpoint(context, old);
  }

  async start(
    key: WarmKey,
    spec: { labels: Record<string, string>; lifetime: Lifetime; budget: Budget },
    options: CallOptions & CallerEnvironment,
  ): Promise<{ sandbox: Sandbox; port: number } | undefined> {
    const found = this.#find(key);
    if (found === undefined) return undefined;
    const origin = await openCheckpoint(found.row);
    return { sandbox: await createFromCheckpoint(this.#options.context(), origin, spec, options), port: found.port };
  }

  async discard(name: InstanceName): Promise<void> {
    await this.#discardWhere((other) => other === nameOf(name));
  }

  async release(revision: string): Promise<void> {
    await this.#discardWhere((name) => name.startsWith(`${APP_CHECKPOINTS}${revision}/`));
  }

  get #rows(): CheckpointRow[] {
    return this.#options.context().state.disks.checkpoints.listOfApps();
  }

  #find(key: WarmKey): { row: CheckpointRow; port: number } | undefined {
    const row = this.#rows.find(({ name, state }) => name === nameOf(key) && state === "ready");
    const spec = row === undefined ? undefined : parseSpec(row.spec);
    return row === undefined || spec?.fit !== key.fit ? undefined : { row, port: spec.port };
  }

  /** One that is being made is its maker's. */
  async #discardWhere(isMeant: (name: string) => boolean): Promise<void> {
    for (const row of this.#rows) {
      if (row.state === "ready" && isMeant(row.name)) await discardCheckpoint(this.#options.context(), row);
    }
  }
}

function nameOf({ revision, context }: InstanceName): string {
  return `${APP_CHECKPOINTS}${revision}/${context}`;
}

function parseSpec(text: string): z.output<typeof specSchema> | undefined {
  try {
    return specSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // Of another version, or damaged: it fits nothing.
  }
}
