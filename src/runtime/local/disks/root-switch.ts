/**
 * Sealing what a running sandbox has written to its root disk. Its chain is
 *
 *     image  [layers of a snapshot]  the template's disk  the file in its directory
 *
 * and becomes, with the template's disk copied (templates are thrown away) and the file given a second name,
 *
 *     image  [layers of a snapshot]  layer  layer  an empty layer
 *
 * Those that already stand on layers only get the last step. The supervisor does the switch; what was begun is recorded
 * in the sandbox's disk and completed by the next command (settle.ts). With the sandbox all of it is gone.
 */
import path from "node:path";
import { syncPath } from "../../../host/durable-file.ts";
import type { SandboxDiskRow } from "../../../store/disks/claim-store.ts";
import { newLayerId, newSnapshotId } from "../../../store/disks/disk-names.ts";
import type { LayerRow, NewLayer } from "../../../store/disks/layer-store.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import { acquireLock } from "../../../store/locks.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { layerPath } from "../../../vm/restore-options.ts";
import { templatePaths } from "../../../vm/template.ts";
import { SbxError } from "../../errors.ts";
import { refuseLongChain } from "./chain.ts";
import type { DiskState } from "./disk-context.ts";
import { collectGarbage, takeBack } from "./garbage.ts";
import { isUndecided, switchDisk } from "./supervisor-disks.ts";

export interface RootSwitch {
  /** The empty layer that the machine is to write to. */
  nextPath: string;
  /** The layer that is sealed by {@link commit}. */
  sealedId: string;
  /** After the machine has switched. */
  commit(isClean: boolean): Promise<void>;
  /** When it has certainly not. */
  abandon(): Promise<void>;
}

/**
 * Prepares the switch of a sandbox's root disk: everything is recorded and made but the switch itself. The caller holds
 * the lock of the sandbox's disk (lockDisk) until it has called `commit` or `abandon`.
 *
 * @throws SbxError `unsupported` for a sandbox whose template is gone
 */
export async function prepareRootSwitch(state: DiskState, sandbox: SandboxRow): Promise<RootSwitch> {
  const { disks, layerFiles } = state;
  const before = disks.claims.diskOf(sandbox.id);
  const disk = before ?? plainDisk(sandbox);
  const sizeBytes = sandbox.spec.diskBytes;
  const sealedId = disk.head ?? newLayerId();
  const next: NewLayer = { id: newLayerId(), parent: sealedId, baseImage: null, format: "qcow2", sizeBytes };
  const begin = (below: string | null): void => {
    const now = Date.now();
    if (disk.head === null) {
      const baseImage = below === null ? sandbox.spec.imageId : null;
      disks.layers.begin({ id: sealedId, parent: below, baseImage, format: "qcow2", sizeBytes }, now);
    }
    disks.layers.begin(next, now);
  };
  if (disk.head === null && disk.hasTemplate) await withTemplateLayer(state, sandbox, disk.base, begin);
  else disks.change(() => begin(disk.base));
  const abandon = async (): Promise<void> => {
    // The layer that was to be sealed has no file yet, or is the one that is written to.
    await takeBack(state, [next], () => {
      if (before === undefined) disks.claims.forgetDisk(sandbox.id);
      else disks.claims.setDisk(before);
      if (disk.head === null) disks.layers.disown(sealedId);
    });
  };
  try {
    const nextPath = await layerFiles.makeOverlay(next, sizeBytes, "qcow2");
    disks.change(() => {
      disks.layers.open(next.id);
      disks.claims.setDisk({ ...disk, next: next.id });
    });
    return { nextPath, sealedId, abandon, commit: async (isClean) => commitRootSwitch(state, sandbox, isClean) };
  } catch (error) {
    await abandon();
    throw error;
  }
}

/** Completes a switch that the machine has made. */
async function commitRootSwitch(state: DiskState, sandbox: SandboxRow, isClean: boolean): Promise<void> {
  const { disks, layerFiles } = state;
  const disk = disks.claims.diskOf(sandbox.id);
  const next = disk?.next == null ? undefined : disks.layers.get(disk.next);
  const sealed = next?.parent == null ? undefined : disks.layers.get(next.parent);
  if (disk === undefined || next === undefined || sealed === undefined) return;
  if (disk.head === null) await layerFiles.linkFrom(sealed, layerPath(sandbox.directory));
  const stamp = await layerFiles.seal(sealed);
  await syncPath(layerFiles.directory);
  disks.change(() => {
    disks.layers.seal(sealed.id, stamp);
    disks.claims.setDisk({ ...disk, base: sealed.id, hasTemplate: false, head: next.id, next: null });
    for (const snapshot of disks.snapshots.makingOf(sealed.id)) disks.snapshots.ready(snapshot.id, isClean);
  });
}

/**
 * Completes what a command began that did not come to its end; takes it back where the supervisor says that it was not
 * done, and will not be.
 */
export async function settleRootSwitch(state: DiskState, disk: SandboxDiskRow, timeoutMs?: number): Promise<void> {
  const sandbox = state.store.get(disk.sandboxId);
  const next = disk.next === null ? undefined : state.disks.layers.get(disk.next);
  if (sandbox === undefined || next === undefined) return;
  const call = { disk: "root" as const, layerPath: state.layerFiles.pathOf(next) };
  let isClean: boolean;
  try {
    isClean = (await switchDisk({ socketPath: sandbox.socket }, call, timeoutMs)).isClean;
  } catch (error) {
    if (isUndecided(error)) throw error;
    await takeBackRootSwitch(state, disk, next);
    return;
  }
  await commitRootSwitch(state, sandbox, isClean);
}

async function takeBackRootSwitch(state: DiskState, disk: SandboxDiskRow, next: LayerRow): Promise<void> {
  const { disks } = state;
  await takeBack(state, [next], () => {
    disks.claims.setDisk({ ...disk, next: null });
    if (next.parent === null) return;
    for (const snapshot of disks.snapshots.makingOf(next.parent)) disks.snapshots.forget(snapshot.id);
    if (disk.head === null) disks.layers.disown(next.parent);
  });
}

/** Takes a snapshot of a running sandbox's root disk. The caller holds the lock of its disk and has settled it. */
export async function snapshotRoot(state: DiskState, sandbox: SandboxRow, slug: string): Promise<SnapshotRow> {
  const { disks } = state;
  const id = newSnapshotId();
  const disk = disks.claims.diskOf(sandbox.id);
  const parentId = disk?.snapshotId ?? null;
  const top = disk?.head ?? disk?.base;
  const hint = "export a snapshot of it, and import that: sbx snapshot export NAME - | sbx snapshot import - ANOTHER";
  if (top != null) refuseLongChain(disks, top, `the disk of sandbox ${sandbox.name ?? sandbox.id}`, hint);
  disks.checkName(slug);
  const root = await prepareRootSwitch(state, sandbox);
  let isClean: boolean;
  try {
    disks.change(() => {
      disks.checkName(slug);
      const { imageId, diskBytes } = sandbox.spec;
      const source = { kind: "sandbox" as const, id: sandbox.id, name: sandbox.name };
      const facts = { layer: root.sealedId, sizeBytes: diskBytes, imageId, source, parentId, isClean: true };
      disks.snapshots.begin({ id, slug, ...facts }, Date.now());
    });
    isClean = (await switchDisk({ socketPath: sandbox.socket }, { disk: "root", layerPath: root.nextPath })).isClean;
  } catch (error) {
    // Otherwise the switch may have happened: the next command completes it.
    if (!isUndecided(error)) {
      disks.change(() => disks.snapshots.forget(id), { frees: true });
      await root.abandon();
    }
    throw error;
  }
  // The machine writes to the new layer: what fails from here on is completed by the next command.
  await root.commit(isClean);
  const row = disks.snapshots.get(id);
  if (row === undefined) throw new SbxError("snapshot_not_found", `the snapshot ${slug} was removed meanwhile`);
  return row;
}

function plainDisk(sandbox: SandboxRow): SandboxDiskRow {
  if (sandbox.spec.templateKey === "") {
    throw new SbxError("unsupported", `what sandbox ${sandbox.name ?? sandbox.id} stands on is not known any more`, {
      hint: "its record was lost with a damaged database; make a new sandbox",
    });
  }
  return { sandboxId: sandbox.id, base: null, hasTemplate: true, snapshotId: null, head: null, next: null };
}

/**
 * The layer that holds what the template's first boot wrote: one for all that stand on this template.
 *
 * @param use records what stands on it, in the transaction in which it is certainly there: until then it is garbage
 */
async function withTemplateLayer(
  state: DiskState,
  sandbox: SandboxRow,
  base: string | null,
  use: (layerId: string) => void,
): Promise<void> {
  const { disks, layerFiles, database } = state;
  const { templateKey } = sandbox.spec;
  await using _lock = await acquireLock(database, `template-disk-${templateKey}`);
  const present = disks.layers.ofTemplate(templateKey);
  if (present?.state === "sealed" && (await layerFiles.fault(present)) === null) {
    const isUsed = disks.change(() => {
      if (disks.layers.get(present.id)?.state !== "sealed") return false;
      use(present.id);
      return true;
    });
    if (isUsed) return;
  }
  if (present !== undefined) await discard(state, present.id);
  await makeTemplateLayer(state, sandbox, base, use);
}

async function makeTemplateLayer(
  state: DiskState,
  sandbox: SandboxRow,
  base: string | null,
  use: (layerId: string) => void,
): Promise<void> {
  const { disks, layerFiles, paths } = state;
  const { templateKey, imageId, diskBytes } = sandbox.spec;
  const baseImage = base === null ? imageId : null;
  const shape = { parent: base, baseImage, format: "qcow2", sizeBytes: diskBytes, templateKey } as const;
  const layer: NewLayer = { id: newLayerId(), ...shape };
  disks.change(() => disks.layers.begin(layer, Date.now()));
  try {
    const { diskPath } = templatePaths(path.join(paths.templatesPath, templateKey));
    await layerFiles.copyFrom(layer, diskPath);
    const stamp = await layerFiles.seal(layer);
    disks.change(() => {
      disks.layers.seal(layer.id, stamp);
      use(layer.id);
    });
  } catch (cause) {
    await takeBack(state, [layer], () => disks.layers.forgetTemplate(layer.id));
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    const title = sandbox.name ?? sandbox.id;
    throw new SbxError("unsupported", `the template that sandbox ${title} was started from is gone`, {
      cause,
      hint: "make a new sandbox and take its snapshot",
    });
  }
}

/** Takes the template's name from it; it is garbage then, unless something stands on it. */
async function discard(state: DiskState, layerId: string): Promise<void> {
  state.disks.change(
    () => {
      state.disks.layers.disown(layerId);
      state.disks.layers.forgetTemplate(layerId);
    },
    { frees: true },
  );
  await collectGarbage(state);
}
