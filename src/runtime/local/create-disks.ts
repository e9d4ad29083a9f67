/** What a new sandbox's disks come from: found before anything takes time, claimed when the sandbox is recorded. */
import type { VolumeAttachment, DiskLayerRecord } from "../../protocol/disk-calls.ts";
import { SbxError } from "../errors.ts";
import type { SandboxSpec } from "../types.ts";
import type { DiskContext } from "./disks/disk-context.ts";
import type { FoundRoot, FoundVolume } from "./disks/sandbox-disks.ts";

export interface FoundDisks {
  /** Absent: the image. */
  root: FoundRoot | undefined;
  volumes: FoundVolume[];
}

export interface ClaimedDisks {
  volumes: VolumeAttachment[];
  /** Of a bootable volume, as it is now. */
  rootLayers: DiskLayerRecord[] | undefined;
}

const NONE: FoundDisks = { root: undefined, volumes: [] };

/** @throws SbxError for what is not there, what somebody else uses, and what is damaged */
export async function findDisks(
  context: DiskContext,
  { root, volumes = [] }: Pick<SandboxSpec, "root" | "volumes">,
): Promise<FoundDisks> {
  if (root === undefined && volumes.length === 0) return NONE;
  const { findRoot, findVolumes } = await import("./disks/sandbox-disks.ts");
  const found = root === undefined ? undefined : await findRoot(context, root);
  const mounts = await findVolumes(context, volumes);
  if (mounts.some(({ row }) => row.id === found?.id)) {
    throw new SbxError("usage", `volume ${found?.slug ?? ""} cannot be both the root disk and mounted`);
  }
  return { root: found, volumes: mounts };
}

/** @throws SbxError as {@link findDisks}: somebody may have been quicker */
export async function claimDisks(
  context: DiskContext,
  { root, volumes }: FoundDisks,
  sandboxId: string,
): Promise<ClaimedDisks> {
  if (root === undefined && volumes.length === 0) return { volumes: [], rootLayers: undefined };
  const { claimRoot, claimVolumes } = await import("./disks/sandbox-disks.ts");
  const claimed = root === undefined ? undefined : await claimRoot(context, root, sandboxId);
  return {
    volumes: await claimVolumes(context, volumes, sandboxId),
    rootLayers: claimed?.kind === "volume" ? claimed.layers : undefined,
  };
}

/**
 * The part of a request that a root other than the image decides.
 *
 * @throws SbxError `usage` for a disk that the root does not fit on, or that a volume cannot be
 */
export function withRoot(spec: SandboxSpec, root: FoundRoot | undefined): SandboxSpec {
  if (root === undefined) return spec;
  const { kind, slug, imageId, sizeBytes } = root;
  const { diskBytes = sizeBytes } = spec;
  if (spec.image !== undefined) throw new SbxError("usage", "a sandbox starts from an image or a root, not from both");
  if (diskBytes < sizeBytes || (kind === "volume" && diskBytes !== sizeBytes)) {
    const hint = kind === "volume" ? `sbx volume resize ${slug}` : `a disk of ${sizeBytes} bytes or more`;
    throw new SbxError("usage", `${kind} ${slug} has ${sizeBytes} bytes, which a disk of ${diskBytes} does not fit`, {
      hint,
    });
  }
  return { ...spec, image: imageId, diskBytes };
}
