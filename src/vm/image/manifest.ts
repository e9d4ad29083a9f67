/**
 * An image's manifest.json: what the image holds and what its files must hash to. The image's id is the sha-256 of the
 * manifest's bytes, so a manifest that was changed is noticed. Read from the data directory, which other programs of
 * the same user can write: it is checked on every read.
 */
import { createHash } from "node:crypto";
import { z } from "zod";

/** The manifest's own file name in an image's directory. */
export const MANIFEST_FILE = "manifest.json";

/** Largest manifest that is read, `bytes`; a base image's is about 20 KB. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** The files of an image. The initramfs is put together from `modules.cpio` and the agent (initrd.ts). */
export const IMAGE_FILES = ["root.ext4", "vmlinuz", "modules.cpio"] as const;

export type ImageFile = (typeof IMAGE_FILES)[number];

const word = z.string().min(1).max(200);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const file = z.strictObject({ sizeBytes: z.int().nonnegative(), sha256 });

const manifestSchema = z.strictObject({
  schema: z.literal(1),
  architecture: z.enum(["amd64", "arm64"]),
  /** `Debian GNU/Linux 13 (trixie)` */
  distribution: word,
  codename: word,
  /** Release of the kernel, as `uname -r` prints it. */
  kernel: word,
  /** The account that commands run as unless another one is asked for. */
  user: z.strictObject({ name: word, uid: z.int().positive(), gid: z.int().positive(), home: word }),
  /** Debian packages beyond the recipe's, sorted. */
  extraPackages: z.array(word).max(1000),
  /** Everything that is installed, sorted by name. */
  packages: z.array(z.strictObject({ name: word, version: word })).max(20_000),
  /** sha-256 of the recipe. */
  recipe: sha256,
  /** sha-256 of the recipe and the extra packages. */
  build: sha256,
  /** Hosts that the image's package managers fetch from. Images of earlier versions do not say. */
  registries: z
    .array(z.strictObject({ tool: word, host: word }))
    .max(100)
    .default([]),
  fileSystemUuid: z.guid(),
  /** Epoch ms. */
  createdAt: z.int().nonnegative(),
  files: z.strictObject({ "root.ext4": file, vmlinuz: file, "modules.cpio": file }),
});

export type ImageManifest = z.infer<typeof manifestSchema>;

/** The manifest's bytes and the id that follows from them. */
export function encodeManifest(manifest: ImageManifest): { bytes: Buffer; id: string } {
  const bytes = Buffer.from(`${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`);
  return { bytes, id: manifestId(bytes) };
}

/** sha-256 of a manifest's bytes, lower-case hex: the image's id. */
export function manifestId(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What a manifest of this or a later version says first. */
const versionSchema = z.looseObject({ schema: z.int() });

/**
 * Reads a manifest's bytes.
 *
 * @throws NewerManifestError when a later sbx wrote it; Error when it is no manifest
 */
export function parseManifest(bytes: Uint8Array): ImageManifest {
  const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
  const version = versionSchema.safeParse(value);
  if (version.success && version.data.schema > 1) throw new NewerManifestError(version.data.schema);
  return manifestSchema.parse(value);
}

export class NewerManifestError extends Error {
  constructor(schema: number) {
    super(`its manifest has schema ${schema}, this sbx knows up to 1`);
    this.name = "NewerManifestError";
  }
}
