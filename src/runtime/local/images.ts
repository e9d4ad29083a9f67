/**
 * The images of the local runtime: the ImageApi over a data directory, and what the runtime itself needs of them.
 */
import path from "node:path";
import { recipePath } from "../../host/package-root.ts";
import { throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions, ImageApi } from "../runtime.ts";
import type { ImageBuildSpec, ImageInfo } from "../types.ts";
import { waysToEnd, type ImageUser } from "./disks/image-users.ts";
import { removeStaleBuilds } from "../../vm/image/build-directory.ts";
import { buildImage } from "../../vm/image/build.ts";
import { DEFAULT_IMAGE, ImageStore, checkImageName, shortImageId } from "../../vm/image/image-store.ts";
import type { OpenImage } from "../../vm/image/image-store.ts";
import { buildKey, hostArchitecture, readRecipe, type Recipe } from "../../vm/image/recipe.ts";

export interface LocalImagesOptions {
  /** The runtime's data directory; images lie in `images` below it. */
  dataPath: string;
  /** What stands on an image: it cannot be removed while there is anything. */
  usedBy: (imageId: string) => Promise<ImageUser[]>;
  /** A setting's image, or `null`: the one that {@link ImageInfo.isDefault} marks. */
  defaultImage?: string | null;
}

export class LocalImages implements ImageApi {
  readonly store: ImageStore;
  readonly #options: LocalImagesOptions;

  constructor(options: LocalImagesOptions) {
    this.#options = options;
    this.store = new ImageStore(path.join(options.dataPath, "images"));
  }

  async list(options: CallOptions = {}): Promise<ImageInfo[]> {
    const infos: ImageInfo[] = [];
    for (const id of await this.store.ids()) {
      throwIfAborted(options.signal, "listing the images");
      infos.push(await this.#describe(id).catch((error: unknown) => this.#describeDamaged(id, error)));
    }
    return infos.sort((a, b) => b.createdAt - a.createdAt);
  }

  async get(ref: string, options: CallOptions = {}): Promise<ImageInfo> {
    throwIfAborted(options.signal, "looking for the image");
    const id = await this.store.resolve(ref);
    try {
      return await this.#describe(id);
    } catch (error) {
      // `image remove` must be able to name a damaged image; opening it tells what is wrong.
      if (error instanceof SbxError && error.code === "image_broken" && (await this.store.ids()).includes(id)) {
        return this.#describeDamaged(id, error);
      }
      throw error;
    }
  }

  async build(spec: ImageBuildSpec, options: CallOptions = {}): Promise<ImageInfo> {
    checkImageName(spec.name);
    const image = await this.#build(await this.#recipe(), spec.packages, spec.force === true, options);
    await this.store.setName(spec.name, image.id);
    return await this.#describe(image.id);
  }

  /** Removes the image with all its names. Returns what it was. */
  async remove(ref: string, options: CallOptions = {}): Promise<ImageInfo> {
    const info = await this.get(ref, options);
    const users = await this.#options.usedBy(info.id);
    if (users.length > 0) {
      const title = info.names[0] ?? shortImageId(info.id);
      const names = users.map(({ kind, name }) => (kind === "sandbox" ? name : `${kind} ${name}`));
      throw new SbxError("image_in_use", `image ${title} is in use by ${names.join(", ")}`, { hint: waysToEnd(users) });
    }
    await this.store.remove(info.id);
    return info;
  }

  /**
   * Opens the image to start a sandbox from: the one that is meant, or the default one. Checks its manifest and sizes.
   *
   * @throws SbxError `image_not_found`, `image_broken`
   */
  async open(ref: string | null): Promise<OpenImage & { name: string | null }> {
    const wanted = ref ?? DEFAULT_IMAGE;
    const image = await this.store.open(await this.store.resolve(wanted));
    const names = await this.store.namesOf(image.id);
    return { ...image, name: names.includes(wanted) ? wanted : (names[0] ?? null) };
  }

  /**
   * The default image, built if it is not there, damaged, or of an older recipe.
   *
   * @param force build it anew in any case
   */
  async ensureDefault(options: CallOptions & { force?: boolean } = {}): Promise<OpenImage> {
    const recipe = await this.#recipe();
    if (options.force !== true) {
      const present = await this.open(null).catch((error: unknown) => {
        if (error instanceof SbxError && ["image_not_found", "image_broken"].includes(error.code)) return null;
        throw error;
      });
      if (present?.manifest.build === buildKey(recipe, [])) return present;
    }
    const image = await this.#build(recipe, [], options.force === true, options);
    await this.store.setName(DEFAULT_IMAGE, image.id);
    return image;
  }

  /** Reads every byte of an image. @throws SbxError `image_broken` with what has changed */
  async verify(ref: string, options: CallOptions = {}): Promise<ImageInfo> {
    throwIfAborted(options.signal, "looking for the image");
    const message = "reading the image";
    const id = await this.store.resolve(ref);
    await this.store.verify(id, {
      signal: options.signal,
      onBytes: (done, total) => options.onProgress?.({ stage: "image-verify", message, done, total, unit: "bytes" }),
    });
    return await this.#describe(id);
  }

  /**
   * Removes what interrupted builds left and, with `unused`, every image but the default one that no sandbox stands on.
   *
   * @returns what was, or with `dryRun` would be, removed
   */
  async prune(options: CallOptions & { dryRun: boolean; unused: boolean }): Promise<PrunedImages> {
    const stale = await removeStaleBuilds(this.store.imagesPath, options.dryRun);
    const images: PrunedImages["images"] = [];
    for (const info of options.unused ? await this.list(options) : []) {
      if (info.isDefault || info.names.includes(DEFAULT_IMAGE)) continue;
      if ((await this.#options.usedBy(info.id)).length > 0) continue;
      if (!options.dryRun) await this.store.remove(info.id);
      images.push({ id: info.id, bytes: info.sizeBytes });
    }
    return { images, directories: stale };
  }

  async #build(
    recipe: Recipe,
    extraPackages: readonly string[],
    force: boolean,
    options: CallOptions,
  ): Promise<OpenImage> {
    const mirror = process.env.SBX_DEBIAN_MIRROR;
    const { signal, onProgress } = options;
    try {
      return await buildImage({ store: this.store, recipe, extraPackages, force, mirror, signal, onProgress });
    } catch (error) {
      throwIfAborted(signal, "building the image");
      throw error;
    }
  }

  async #recipe(): Promise<Recipe> {
    return await readRecipe(recipePath(), hostArchitecture());
  }

  async #describe(id: string): Promise<ImageInfo> {
    const { manifest } = await this.store.open(id);
    const { architecture, createdAt, distribution, kernel, packages, registries } = manifest;
    return {
      ...(await this.#identity(id)),
      architecture,
      createdAt,
      distribution,
      kernel,
      packages: packages.map((item) => `${item.name}=${item.version}`),
      registries,
    };
  }

  /** So that a damaged image is seen in a list and can be removed. */
  async #describeDamaged(id: string, error: unknown): Promise<ImageInfo> {
    const fault = error instanceof Error ? error.message.replace(/^image \S+ is /, "") : String(error);
    return {
      ...(await this.#identity(id)),
      architecture: hostArchitecture(),
      createdAt: await this.store.createdAt(id),
      distribution: fault,
      kernel: "-",
      packages: [],
      registries: [],
    };
  }

  async #identity(id: string): Promise<Pick<ImageInfo, "id" | "names" | "sizeBytes" | "isDefault">> {
    const names = await this.store.namesOf(id);
    const wanted = this.#options.defaultImage ?? DEFAULT_IMAGE;
    const isDefault = names.includes(wanted) || (wanted.length >= 4 && id.startsWith(wanted));
    return { id, names, sizeBytes: await this.store.diskBytes(id), isDefault };
  }
}

export interface PrunedImages {
  images: { id: string; bytes: number }[];
  /** Paths that interrupted builds had left. */
  directories: string[];
}
