/**
 * Images on disk: `<images>/<id>/` with manifest.json and the files it names, and `<images>/names/<name>` holding an
 * id. Other programs of the same user can write there, and disks fail: what is read is checked, and what is damaged is
 * named with the command that mends it.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import { TRASH_PREFIX, removeBuildDirectory } from "./build-directory.ts";
import { syncPath, writeDurably } from "../../host/durable-file.ts";
import { hashFile } from "./file-hash.ts";
import { IMAGE_FILES, MANIFEST_FILE, MAX_MANIFEST_BYTES, manifestId, parseManifest } from "./manifest.ts";
import { NewerManifestError, encodeManifest, type ImageManifest } from "./manifest.ts";

/** The name of the image that sandboxes start from unless another one is asked for. */
export const DEFAULT_IMAGE = "default";

const ID = /^[0-9a-f]{64}$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Shortest part of an id that is taken for one. */
const MIN_PREFIX = 4;
const SHORT_ID = 12;

/** An image whose manifest is right and whose files have the right sizes. */
export interface OpenImage {
  id: string;
  manifest: ImageManifest;
  directory: string;
  /** The root file system: a raw ext4 image, never to be written. */
  rootPath: string;
  kernelPath: string;
  modulesPath: string;
}

/** @throws SbxError `usage` for a name that cannot be one */
export function checkImageName(name: string): void {
  if (NAME.test(name) && !ID.test(name) && !name.endsWith(".tmp")) return;
  throw new SbxError("usage", `${JSON.stringify(name)} cannot be the name of an image`, {
    hint: "a name has up to 63 lower-case letters, digits, dots, dashes and underscores",
  });
}

export function shortImageId(id: string): string {
  return id.slice(0, SHORT_ID);
}

export class ImageStore {
  readonly imagesPath: string;
  readonly #namesPath: string;

  constructor(imagesPath: string) {
    this.imagesPath = imagesPath;
    this.#namesPath = path.join(imagesPath, "names");
  }

  /** Makes the directories, if they are not there. */
  async prepare(): Promise<void> {
    await mkdir(this.#namesPath, { recursive: true, mode: 0o700 });
  }

  /** Ids of all images, damaged ones too. */
  async ids(): Promise<string[]> {
    return (await entriesOf(this.imagesPath)).filter((name) => ID.test(name)).sort();
  }

  /** Id by name. A name file that does not hold an id gives an empty one. */
  async names(): Promise<Map<string, string>> {
    const names = new Map<string, string>();
    for (const name of (await entriesOf(this.#namesPath)).filter((entry) => NAME.test(entry)).sort()) {
      if (name.endsWith(".tmp")) continue;
      const id = await this.#readName(name);
      if (id !== null) names.set(name, id);
    }
    return names;
  }

  async namesOf(id: string): Promise<string[]> {
    return [...(await this.names())].filter(([, target]) => target === id).map(([name]) => name);
  }

  /**
   * The id that a name, an id or a unique prefix of an id means.
   *
   * @throws SbxError `image_not_found`; `usage` for a prefix of several
   */
  async resolve(ref: string): Promise<string> {
    if (NAME.test(ref)) {
      const named = await this.#readName(ref);
      if (named !== null) return named;
    }
    const ids = (await this.ids()).filter((id) => ref.length >= MIN_PREFIX && id.startsWith(ref));
    const [id] = ids;
    if (id === undefined) throw notFound(ref);
    if (ids.length === 1) return id;
    throw new SbxError("usage", `${JSON.stringify(ref)} could mean ${ids.length} images`, {
      hint: `give more of the id: ${ids.map(shortImageId).join(", ")}`,
    });
  }

  /**
   * Opens an image: its manifest is what the id says, its files are there with the sizes the manifest says.
   *
   * @throws SbxError `image_not_found`, `image_broken`, `state_newer`
   */
  async open(id: string): Promise<OpenImage> {
    const directory = path.join(this.imagesPath, id);
    const manifest = await this.#readManifest(id, directory);
    for (const name of IMAGE_FILES) {
      const expected = manifest.files[name].sizeBytes;
      const found = await sizeOf(path.join(directory, name));
      if (found === expected) continue;
      const fault = found === null ? `${name} is missing` : `${name} has ${found} bytes instead of ${expected}`;
      throw await this.#broken(id, fault, manifest);
    }
    return {
      id,
      manifest,
      directory,
      rootPath: path.join(directory, "root.ext4"),
      kernelPath: path.join(directory, "vmlinuz"),
      modulesPath: path.join(directory, "modules.cpio"),
    };
  }

  /**
   * Opens an image and reads every byte of it.
   *
   * @throws SbxError as {@link open}, and `image_broken` for a file whose content changed
   */
  async verify(
    id: string,
    options: { signal?: AbortSignal | undefined; onBytes?: (done: number, total: number) => void } = {},
  ): Promise<OpenImage> {
    const image = await this.open(id);
    const files = image.manifest.files;
    const total = IMAGE_FILES.reduce((sum, name) => sum + files[name].sizeBytes, 0);
    let before = 0;
    for (const name of IMAGE_FILES) {
      const onBytes = (done: number): void => options.onBytes?.(before + done, total);
      const found = await hashFile(path.join(image.directory, name), { signal: options.signal, onBytes });
      if (found.sha256 !== files[name].sha256) {
        throw await this.#broken(id, `the content of ${name} has changed`, image.manifest);
      }
      before += found.sizeBytes;
    }
    return image;
  }

  /** The newest intact image that was built from this. */
  async findByBuild(build: string): Promise<OpenImage | null> {
    let newest: OpenImage | null = null;
    for (const id of await this.ids()) {
      // A damaged image is no reason not to build another one.
      const image = await this.open(id).catch(() => null);
      if (image?.manifest.build !== build) continue;
      if (newest === null || image.manifest.createdAt > newest.manifest.createdAt) newest = image;
    }
    return newest;
  }

  /** Makes a build's directory an image, in one step. Returns the id. */
  async publish(buildDirectory: string, manifest: ImageManifest): Promise<string> {
    const { bytes, id } = encodeManifest(manifest);
    await writeDurably(path.join(buildDirectory, MANIFEST_FILE), bytes);
    for (const name of IMAGE_FILES) await syncPath(path.join(buildDirectory, name));
    await rename(buildDirectory, path.join(this.imagesPath, id));
    await syncPath(this.imagesPath);
    return id;
  }

  async setName(name: string, id: string): Promise<void> {
    checkImageName(name);
    await writeDurably(path.join(this.#namesPath, name), `${id}\n`);
  }

  async removeName(name: string): Promise<void> {
    checkImageName(name);
    await rm(path.join(this.#namesPath, name), { force: true });
  }

  /** Removes an image and the names it has. Interrupted, it is either there or will be removed by the next build. */
  async remove(id: string): Promise<void> {
    for (const name of await this.namesOf(id)) await this.removeName(name);
    const trash = path.join(this.imagesPath, `${TRASH_PREFIX}${randomBytes(6).toString("hex")}`);
    await rename(path.join(this.imagesPath, id), trash);
    await removeBuildDirectory(trash);
  }

  /** Bytes that an image takes on the disk. */
  async diskBytes(id: string): Promise<number> {
    const directory = path.join(this.imagesPath, id);
    let bytes = 0;
    for (const name of await entriesOf(directory)) {
      const info = await stat(path.join(directory, name)).catch(() => null);
      bytes += (info?.blocks ?? 0) * 512;
    }
    return bytes;
  }

  /** When an image came to be as far as its directory tells; for one whose manifest does not. Epoch ms. */
  async createdAt(id: string): Promise<number> {
    return Math.round((await stat(path.join(this.imagesPath, id))).mtimeMs);
  }

  async #readName(name: string): Promise<string | null> {
    try {
      const id = (await readFile(path.join(this.#namesPath, name), "utf8")).trim();
      return ID.test(id) ? id : "";
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async #readManifest(id: string, directory: string): Promise<ImageManifest> {
    let bytes: Buffer;
    try {
      bytes = await readBounded(path.join(directory, MANIFEST_FILE));
    } catch (error) {
      if (!isMissing(error)) throw error;
      if (ID.test(id) && (await sizeOf(directory)) === null && (await this.namesOf(id)).length === 0)
        throw notFound(id);
      throw await this.#broken(id, id === "" ? "its name does not lead to an image" : "it is not all there", null);
    }
    if (manifestId(bytes) !== id) throw await this.#broken(id, `${MANIFEST_FILE} has changed`, null);
    try {
      return parseManifest(bytes);
    } catch (error) {
      if (error instanceof NewerManifestError) {
        const message = `image ${shortImageId(id)} was made by a newer sbx: ${error.message}`;
        throw new SbxError("state_newer", message, { hint: "update sbx, or build the image again with this one" });
      }
      throw await this.#broken(id, `${MANIFEST_FILE} does not say what it should`, null, error);
    }
  }

  async #broken(id: string, fault: string, manifest: ImageManifest | null, cause?: unknown): Promise<SbxError> {
    const [name] = await this.namesOf(id);
    const title = name === undefined ? shortImageId(id) : JSON.stringify(name);
    const hint = rebuildCommand(name, manifest?.extraPackages ?? [], id);
    return new SbxError("image_broken", `image ${title} is damaged: ${fault}`, { hint, cause });
  }
}

/** The command that makes such an image anew. */
export function rebuildCommand(name: string | undefined, extraPackages: readonly string[], id: string): string {
  if (name === undefined) return `sbx image remove ${shortImageId(id)}`;
  if (name === DEFAULT_IMAGE) return "sbx setup --force";
  return ["sbx image build", name, ...extraPackages, "--force"].join(" ");
}

function notFound(ref: string): SbxError {
  const hint = ref === DEFAULT_IMAGE ? "sbx setup" : "see what there is with: sbx image list";
  return new SbxError("image_not_found", `no image ${JSON.stringify(ref)}`, { hint });
}

/** Reads a file that ought to be small. */
async function readBounded(filePath: string): Promise<Buffer> {
  const file = await open(filePath, "r");
  try {
    const { size } = await file.stat();
    return size > MAX_MANIFEST_BYTES ? Buffer.alloc(0) : await file.readFile();
  } finally {
    await file.close();
  }
}

async function sizeOf(target: string): Promise<number | null> {
  try {
    return (await stat(target)).size;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}
