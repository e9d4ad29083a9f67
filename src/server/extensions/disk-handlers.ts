/** Volumes and snapshots of an organisation, within its quotas. What ends what a sandbox holds is waited for, as everywhere. */
import { PassThrough, type Writable } from "node:stream";
import { EXPORT_PIECE_BYTES, type DISK_CALLS } from "../../protocol/control-calls-disks.ts";
import type { ControlParams, ControlResult } from "../../protocol/control-calls.ts";
import type { ExportReport, SnapshotInfo, SnapshotTree, VolumeInfo } from "../../runtime/disks.ts";
import { SbxError } from "../../runtime/errors.ts";
import { OWN_ORGANISATION } from "../../runtime/organisations.ts";
import { ApiError } from "../api-error.ts";
import type { ControlContext, ControlHandlers, Defined } from "./handler.ts";

type VolumeAnswer = ControlResult<"volume.get">;
type SnapshotAnswer = ControlResult<"snapshot.get">;

export const DISK_HANDLERS: ControlHandlers<keyof typeof DISK_CALLS> = {
  "volume.list": async (options, { tenant, runtime, signal }) =>
    (await runtime.volumes.list({ ...options, signal })).map((volume) => volumeAnswer(volume, tenant.organisation)),
  "volume.get": async ({ ref, ...options }, { tenant, runtime, signal, onProgress }) =>
    volumeAnswer(await runtime.volumes.get(ref, { ...options, signal, onProgress }), tenant.organisation),
  "volume.create": createVolume,
  "volume.remove": async ({ ref }, { tenant, runtime }) =>
    volumeAnswer(await tenant.endings.whenFree(async () => runtime.volumes.remove(ref)), tenant.organisation),
  "volume.restore": restoreVolume,
  "volume.resize": resizeVolume,
  "volume.snapshot": async ({ ref, slug }, { tenant, runtime, onProgress }) =>
    snapshotAnswer(await runtime.volumes.snapshot(ref, slug, { onProgress }), tenant.organisation),
  "volume.export": ({ ref }, { runtime, signal }) =>
    exported(async (target) => runtime.volumes.export(ref, target, { signal })),
  "volume.attach": async ({ ref, sandbox, path, access }, { tenant, runtime, onProgress }) => {
    const attach = async (): Promise<VolumeInfo> =>
      runtime.volumes.attach(ref, sandbox, { path, access }, { onProgress });
    return volumeAnswer(await tenant.endings.whenFree(attach), tenant.organisation);
  },
  "volume.detach": async ({ ref, sandbox }, { tenant, runtime, onProgress }) =>
    volumeAnswer(await runtime.volumes.detach(ref, sandbox, { onProgress }), tenant.organisation),
  "snapshot.create": async ({ slug, from }, { tenant, runtime, onProgress }) =>
    snapshotAnswer(await runtime.snapshots.create(slug, from, { onProgress }), tenant.organisation),
  "snapshot.list": async (options, { tenant, runtime, signal }) =>
    (await runtime.snapshots.list({ ...options, signal })).map((one) => snapshotAnswer(one, tenant.organisation)),
  "snapshot.get": async ({ ref, ...options }, { tenant, runtime, signal, onProgress }) =>
    snapshotAnswer(await runtime.snapshots.get(ref, { ...options, signal, onProgress }), tenant.organisation),
  "snapshot.remove": async ({ ref }, { tenant, runtime }) =>
    snapshotAnswer(await tenant.endings.whenFree(async () => runtime.snapshots.remove(ref)), tenant.organisation),
  "snapshot.tree": async (_none, { runtime, signal }) => flatten(await runtime.snapshots.tree({ signal })),
  "snapshot.export": ({ ref }, { runtime, signal }) =>
    exported(async (target) => runtime.snapshots.export(ref, target, { signal })),
};

/** Without a capacity it is as large as what it is made from, or as the runtime has it: looked at when it is there. */
async function createVolume(
  spec: Defined<ControlParams<"volume.create">>,
  { tenant, runtime, signal, onProgress }: ControlContext,
): Promise<VolumeAnswer> {
  const { capacityBytes, from } = spec;
  const expected = capacityBytes ?? (from === undefined ? 0 : await snapshotBytes(runtime, from));
  if (capacityBytes !== undefined) requireCapacity(capacityBytes, tenant);
  const make = async (): Promise<VolumeInfo> => runtime.volumes.create(spec, { signal, onProgress });
  const volume = await tenant.admitVolume(expected, make);
  if (expected === 0) await keepIfAllowed(volume, { tenant, runtime });
  return volumeAnswer(volume, tenant.organisation);
}

type Runtime = ControlContext["runtime"];

/** Zero for an image. */
async function snapshotBytes(runtime: Runtime, from: string): Promise<number> {
  try {
    return (await runtime.snapshots.get(from)).sizeBytes;
  } catch (error) {
    if (error instanceof SbxError && error.code === "snapshot_not_found") return 0;
    throw error;
  }
}

async function keepIfAllowed(
  { id, capacityBytes }: VolumeInfo,
  { tenant, runtime }: Pick<ControlContext, "tenant" | "runtime">,
): Promise<void> {
  try {
    requireCapacity(capacityBytes, tenant);
    await tenant.admitVolume(0, async () => undefined);
  } catch (error) {
    await runtime.volumes.remove(id);
    throw error;
  }
}

async function restoreVolume(
  { ref, ...options }: Defined<ControlParams<"volume.restore">>,
  { tenant, runtime }: ControlContext,
): Promise<VolumeAnswer> {
  const removed = await runtime.volumes.list({ removed: true });
  const found = removed.find(({ id, slug }) => id === ref || slug === ref);
  const restore = async (): Promise<VolumeInfo> => runtime.volumes.restore(ref, options);
  return volumeAnswer(await tenant.admitVolume(found?.capacityBytes ?? 0, restore), tenant.organisation);
}

async function resizeVolume(
  { ref, capacityBytes }: Defined<ControlParams<"volume.resize">>,
  { tenant, runtime, onProgress }: ControlContext,
): Promise<VolumeAnswer> {
  const volume = await runtime.volumes.get(ref);
  requireCapacity(capacityBytes, tenant);
  const more = Math.max(0, capacityBytes - volume.capacityBytes);
  const grow = async (): Promise<VolumeInfo> => runtime.volumes.resize(volume.id, capacityBytes, { onProgress });
  return volumeAnswer(await tenant.admitVolume(more, grow), tenant.organisation);
}

function requireCapacity(capacityBytes: number, { quotas }: Pick<ControlContext["tenant"], "quotas">): void {
  const { minVolume, maxVolume } = quotas;
  if (capacityBytes >= minVolume && capacityBytes <= maxVolume) return;
  throw new ApiError("INVALID_REQUEST", `a volume has from ${minVolume} to ${maxVolume} bytes, not ${capacityBytes}`);
}

/** The bytes as the client takes them; who hangs up has the export end. */
async function* exported(
  write: (target: Writable) => Promise<ExportReport>,
): AsyncIterable<ControlResult<"volume.export">> {
  const stream = new PassThrough({ highWaterMark: EXPORT_PIECE_BYTES });
  const writing = write(stream).then(
    (report) => {
      stream.end();
      return report;
    },
    (error: unknown) => {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    },
  );
  // Whoever reads the stream is told.
  writing.catch(() => undefined);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += EXPORT_PIECE_BYTES) {
      yield { data: chunk.subarray(at, at + EXPORT_PIECE_BYTES).toString("base64") };
    }
  }
  yield { report: await writing };
}

/** What is wrong with files names files of this machine. */
function faultsFor(faults: readonly string[], organisation: string): string[] {
  return organisation === OWN_ORGANISATION ? [...faults] : faults.map(() => "the server's files of it are damaged");
}

export function volumeAnswer(volume: VolumeInfo, organisation: string): VolumeAnswer {
  return { ...volume, holders: [...volume.holders], faults: faultsFor(volume.faults, organisation) };
}

export function snapshotAnswer(snapshot: SnapshotInfo, organisation: string): SnapshotAnswer {
  return { ...snapshot, usedBy: [...snapshot.usedBy], faults: faultsFor(snapshot.faults, organisation) };
}

function flatten(trees: readonly SnapshotTree[], parent: string | null = null): ControlResult<"snapshot.tree"> {
  return trees.flatMap(({ snapshots, ...row }) => [{ ...row, parent }, ...flatten(snapshots, row.id)]);
}
