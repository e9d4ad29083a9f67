/** Copies of a running sandbox that run at once. */
import { SbxError } from "../../errors.ts";
import type { ForkOptions, ForkReport, ForkSpec } from "../../checkpoints.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { checkSandboxName } from "../sandbox-id.ts";
import type { CreateContext } from "../start-sandbox.ts";
import { newCheckpointId } from "../../../store/disks/disk-names.ts";
import { collectGarbage } from "../disks/garbage.ts";
import { saveMachine } from "./save-machine.ts";
import { savedFiles, type SavedFiles } from "./saved-machine.ts";
import { openScratch } from "./scratch.ts";
import { planCopies, startCopy, type CopyPlan, type StartedCopy } from "./start-copy.ts";

/** Of one call. */
const MAX_COPIES = 100;
/** Starts under way at a time: each takes a processor for a moment. */
const STARTS_AT_ONCE = 4;

/**
 * Makes all of the copies, or none.
 *
 * @throws SbxError as saving and starting do
 */
export async function forkSandbox(
  context: CreateContext,
  source: SandboxRow,
  spec: ForkSpec,
  options: ForkOptions,
): Promise<ForkReport> {
  const { count } = spec;
  if (!Number.isInteger(count) || count < 1 || count > MAX_COPIES) {
    throw new SbxError("usage", `a fork makes from 1 to ${MAX_COPIES} copies, not ${count}`);
  }
  const names = namesOf(spec);
  const { disks } = context.state;
  using scratch = openScratch(context.state.paths, source.spec.memoryBytes);
  const files = savedFiles(scratch.directory);
  options.onProgress?.({ stage: "copy", message: "copying the machine" });
  // Its record keeps the layer of the root disk until the copies have claimed it.
  const id = newCheckpointId();
  disks.change(() => disks.checkpoints.begin({ id, name: id, directory: scratch.directory, spec: "{}" }, Date.now()));
  try {
    return await makeCopies(context, source, { id, files, spec, names }, options);
  } finally {
    disks.change(() => disks.checkpoints.forget(id), { frees: true });
    await collectGarbage(context.state);
  }
}

async function makeCopies(
  context: CreateContext,
  source: SandboxRow,
  { id, files, spec, names }: { id: string; files: SavedFiles; spec: ForkSpec; names: (string | null)[] },
  options: ForkOptions,
): Promise<ForkReport> {
  const { count } = spec;
  const { disks } = context.state;
  const { saved, layerId, answer, volumes } = await saveMachine(context, source, {
    ...{ files, durable: false, volumes: spec.volumes ?? "refuse", signal: options.signal },
  });
  disks.change(() => disks.checkpoints.hold(id, layerId));
  const origin = { name: `of ${source.name ?? source.id}`, saved, files, layerId, volumes };
  const plan = await planCopies(context, origin, options);
  options.onProgress?.({ stage: "start", message: count === 1 ? "starting the copy" : `starting ${count} copies` });
  const copies = await startAll(context, plan, names, spec, options);
  const sandboxes = copies.map(({ sandbox }) => sandbox.info);
  await Promise.all(copies.map(async ({ sandbox }) => sandbox[Symbol.asyncDispose]()));
  return { sandboxes, pausedMs: answer.pausedMs };
}

function namesOf({ name, count }: ForkSpec): (string | null)[] {
  if (name === undefined) return Array.from({ length: count }, () => null);
  const names = count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
  names.forEach(checkSandboxName);
  return names;
}

async function startAll(
  context: CreateContext,
  plan: CopyPlan,
  names: readonly (string | null)[],
  spec: ForkSpec,
  options: ForkOptions,
): Promise<StartedCopy[]> {
  const giveUp = new AbortController();
  const signal = AbortSignal.any([giveUp.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const started: StartedCopy[] = [];
  const waiting = [...names];
  const labels = { ...plan.origin.saved.spec.labels, ...spec.labels };
  const shared = { lifetime: { kind: "duration", ms: spec.lifetimeMs } as const, labels, env: spec.env ?? {} };
  const startNext = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const copy = { name, ...shared, budget: spec.budget };
      started.push(await startCopy(context, plan, copy, { ...options, signal }));
    }
  };
  const workers = Array.from({ length: STARTS_AT_ONCE }, async () =>
    startNext().catch((error: unknown) => {
      waiting.length = 0;
      giveUp.abort(error);
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(workers)).find((outcome) => outcome.status === "rejected");
  if (failed === undefined) return started;
  await Promise.allSettled(started.map(async (copy) => endCopy(context, copy)));
  throw giveUp.signal.reason;
}

async function endCopy({ state }: CreateContext, { sandbox, takeBack }: StartedCopy): Promise<void> {
  await sandbox[Symbol.asyncDispose]();
  const row = state.store.get(sandbox.id);
  const { requestStop } = await import("../supervisor-client.ts");
  if (row !== undefined) await requestStop(row.socket, row.id, 10_000);
  await takeBack();
}
