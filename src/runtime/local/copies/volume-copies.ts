/**
 * Volumes of a running sandbox that is copied: what each holds is sealed in the moment of the copy, and each copy gets a
 * volume of its own on top of that. Nothing is ever shared that somebody writes to.
 */
import { randomInt } from "node:crypto";
import type { HeldVolume } from "../../../protocol/disk-calls.ts";
import type { CopiedVolume } from "../../../protocol/machine-calls.ts";
import { newLayerId, newVolumeId } from "../../../store/disks/disk-names.ts";
import type { LayerFormat, NewLayer } from "../../../store/disks/layer-store.ts";
import type { NewVolume, VolumeRow } from "../../../store/disks/volume-store.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { SbxError } from "../../errors.ts";
import { openChain } from "../disks/chain.ts";
import { lockDisk, type DiskContext } from "../disks/disk-context.ts";
import { takeBack } from "../disks/garbage.ts";
import { settleVolume } from "../disks/settle.ts";
import { diskBytesFor } from "../disks/volume-file-system.ts";

/** A volume of the source, as it was sealed. */
export interface SealedVolume extends CopiedVolume {
  layerId: string;
  format: LayerFormat;
  imageId: string | null;
  base: VolumeRow["base"];
}

/** Volumes that are ready to be sealed. Their locks are held until it is disposed of. */
export interface PreparedVolumes extends AsyncDisposable {
  /** For the supervisor: the empty layers that the source's volumes are written to from the copy's moment on. */
  layers: { id: string; layerPath: string }[];
  /** After the supervisor has switched. */
  commit(copied: readonly CopiedVolume[]): Promise<SealedVolume[]>;
  /** When it has certainly not. */
  abandon(): Promise<void>;
}

/** How long a name a volume may have, without what is put behind it. */
const MAX_SLUG_PART = 26;
const SUFFIX_CHARACTERS = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * @param policy `refuse`: a sandbox with volumes is not copied
 * @throws SbxError `copy_unsupported` naming the volumes that are in the way
 */
export async function prepareVolumes(
  { state }: DiskContext,
  { id, name }: SandboxRow,
  { policy, signal }: { policy: "refuse" | "copy"; signal?: AbortSignal | undefined },
): Promise<PreparedVolumes> {
  const held = state.disks.claims.list().filter(({ holder }) => holder === id);
  const inTheWay =
    policy === "refuse" ? held : held.filter(({ access, path }) => access === "read-only" || path === "/");
  if (inTheWay.length > 0) {
    const slugs = inTheWay.map(({ volumeId }) => state.disks.volumes.get(volumeId)?.slug ?? volumeId);
    throw refusal(slugs, name ?? id, policy);
  }
  await using stack = new AsyncDisposableStack();
  const rows: VolumeRow[] = [];
  // In one order, whoever locks several.
  for (const volumeId of held.map((claim) => claim.volumeId).sort()) {
    stack.use(await lockDisk(state, volumeId, signal));
    const row = state.disks.volumes.get(volumeId);
    if (row === undefined) throw new SbxError("volume_not_found", `volume ${volumeId} is not recorded`);
    rows.push(await settleVolume(state, row));
  }
  const prepared = new VolumeSwitches(state, rows);
  await prepared.begin();
  const locks = stack.move();
  return {
    layers: prepared.layers,
    commit: async (copied) => prepared.commit(copied),
    abandon: async () => prepared.abandon(),
    [Symbol.asyncDispose]: async () => locks.disposeAsync(),
  };
}

class VolumeSwitches {
  readonly #state: DiskContext["state"];
  readonly #switches: { row: VolumeRow; next: NewLayer; format: LayerFormat }[];

  constructor(state: DiskContext["state"], rows: readonly VolumeRow[]) {
    this.#state = state;
    this.#switches = rows.map((row) => {
      const shape = { baseImage: null, format: "qcow2", sizeBytes: diskBytesFor(row.capacityBytes) } as const;
      const format = state.disks.layers.get(row.head)?.format ?? "qcow2";
      return { row, format, next: { id: newLayerId(), parent: row.head, ...shape } };
    });
  }

  get layers(): PreparedVolumes["layers"] {
    return this.#switches.map(({ row, next }) => ({ id: row.id, layerPath: this.#state.layerFiles.pathOf(next) }));
  }

  async begin(): Promise<void> {
    if (this.#switches.length === 0) return;
    const { disks, layerFiles } = this.#state;
    disks.change(() => {
      for (const { next } of this.#switches) disks.layers.begin(next, Date.now());
    });
    try {
      for (const { next, format } of this.#switches) await layerFiles.makeOverlay(next, next.sizeBytes, format);
      disks.change(() => {
        for (const { row, next } of this.#switches) {
          disks.layers.open(next.id);
          disks.volumes.setNext(row.id, next.id);
        }
      });
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  async commit(copied: readonly CopiedVolume[]): Promise<SealedVolume[]> {
    const sealed: SealedVolume[] = [];
    for (const { row, format } of this.#switches) {
      const volume = copied.find(({ id }) => id === row.id);
      const { disks } = this.#state;
      // Asks the supervisor once more, which finds it done.
      await settleVolume(this.#state, disks.volumes.get(row.id) ?? row);
      if (volume === undefined) continue;
      sealed.push({ ...volume, layerId: row.head, format, imageId: row.imageId, base: row.base });
    }
    return sealed;
  }

  async abandon(): Promise<void> {
    if (this.#switches.length === 0) return;
    const { disks } = this.#state;
    const next = this.#switches.map((begun) => begun.next);
    await takeBack(this.#state, next, () => {
      for (const { row } of this.#switches) disks.volumes.setNext(row.id, null);
    });
  }
}

function refusal(slugs: readonly string[], title: string, policy: "refuse" | "copy"): SbxError {
  const names = slugs.join(", ");
  const detach = `sbx volume detach ${slugs[0] ?? ""} ${title}`;
  return new SbxError(
    "copy_unsupported",
    `sandbox ${title} cannot be copied: it has volumes attached, which are not shared: ${names}`,
    { hint: policy === "refuse" ? `${detach}, or sbx fork --volumes copy` : detach },
  );
}

export interface VolumeCopies {
  /** As the copy is launched with them. */
  held: HeldVolume[];
  /** The copy runs. Its supervisor records it as well, for the case that this process is killed. */
  keep: () => void;
  /** The copy does not run, or no longer. */
  takeBack: () => Promise<void>;
}

/** Makes a copy's own volumes, and claims them for it. They are taken for abandoned until it runs. */
export async function makeVolumeCopies(
  context: DiskContext,
  sealed: readonly SealedVolume[],
  sandboxId: string,
): Promise<VolumeCopies> {
  const { state } = context;
  const made: { head: NewLayer; volume: NewVolume }[] = [];
  const undo = async (): Promise<void> => {
    if (made.length === 0) return;
    const heads = made.map(({ head }) => head);
    await takeBack(state, heads, () => {
      for (const { volume } of made) state.disks.volumes.forget(volume.id);
    });
  };
  const held: HeldVolume[] = [];
  try {
    for (const source of sealed) {
      const copy = copyOf(state, source);
      made.push(copy);
      await makeOne(state, source, copy, sandboxId);
      const { id, slug } = copy.volume;
      const layers = await openChain(context, copy.head.id, { kind: "volume", slug });
      const { path, capacityBytes, serial, place } = source;
      held.push({ id, name: slug, path, capacityBytes, serial, place, access: "read-write", layers });
    }
    const keep = (): void => {
      if (made.length > 0) state.disks.change(() => made.forEach(({ volume }) => state.disks.volumes.ready(volume.id)));
    };
    return { held, keep, takeBack: undo };
  } catch (error) {
    await undo();
    throw error;
  }
}

function copyOf(state: DiskContext["state"], source: SealedVolume): { head: NewLayer; volume: NewVolume } {
  const { name, capacityBytes, layerId, imageId, base } = source;
  const shape = { baseImage: null, format: "qcow2", sizeBytes: diskBytesFor(capacityBytes) } as const;
  const head: NewLayer = { id: newLayerId(), parent: layerId, ...shape };
  const volume = { id: newVolumeId(), slug: newSlug(name), capacityBytes, head: head.id, imageId, base };
  state.disks.change(() => {
    state.disks.checkName(volume.slug);
    state.disks.layers.begin(head, Date.now());
    state.disks.volumes.begin(volume, Date.now());
  });
  return { head, volume };
}

async function makeOne(
  { disks, layerFiles }: DiskContext["state"],
  { format, path }: SealedVolume,
  { head, volume }: { head: NewLayer; volume: NewVolume },
  sandboxId: string,
): Promise<void> {
  await layerFiles.makeOverlay(head, head.sizeBytes, format);
  disks.change(() => {
    disks.layers.open(head.id);
    disks.claims.claim(volume, sandboxId, "read-write", path);
  });
}

/** As the source's, with something behind it. */
function newSlug(slug: string): string {
  const suffix = Array.from({ length: 5 }, () => SUFFIX_CHARACTERS.charAt(randomInt(SUFFIX_CHARACTERS.length))).join(
    "",
  );
  return `${slug.slice(0, MAX_SLUG_PART).replace(/-+$/, "")}-${suffix}`;
}
