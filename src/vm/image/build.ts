/**
 * Builds an image: Debian, the tools from npm, the kernel, one file system, and the manifest that names it all. A build
 * is there in one step or not at all; whatever ends it, the next one clears up after it.
 */
import { randomUUID } from "node:crypto";
import { chmod, rm, stat, statfs, writeFile } from "node:fs/promises";
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import { makeBuildDirectory, removeBuildDirectory, removeStaleBuilds } from "./build-directory.ts";
import { whileBuilding } from "./build-lock.ts";
import { requireBuildTools } from "./build-tools.ts";
import { CommandFailure } from "./command.ts";
import { findDebianSources, type DebianSources } from "./debian-sources.ts";
import { hashFile } from "./file-hash.ts";
import { writeFileSystem } from "./file-system.ts";
import type { ImageStore, OpenImage } from "./image-store.ts";
import { installKernel, packModules } from "./kernel.ts";
import { IMAGE_FILES, type ImageFile, type ImageManifest } from "./manifest.ts";
import { fetchNpmPackages, unpackNpmPackages } from "./npm-packages.ts";
import { buildKey, isPackageName, type Recipe } from "./recipe.ts";
import { GUEST_USER, distributionName, finishRootSystem, installDebian, listPackages } from "./root-system.ts";
import { findRegistries } from "./registries.ts";
import { rootPath, type RootSystemOptions } from "./root-system.ts";
import { chooseWorkPlace, makeWorkDirectory, openWorkshop, type Workshop, type WorkPlace } from "./workshop.ts";

/** What a build takes on the data directory's disk, `bytes`: the image, and the work when it is not done in memory. */
const IMAGE_BYTES = 2.5e9;
const WORK_BYTES = 3e9;

export interface BuildProgress {
  stage: string;
  message: string;
  done?: number;
  total?: number;
  unit?: "bytes" | "files";
}

export interface BuildRequest {
  store: ImageStore;
  recipe: Recipe;
  extraPackages: readonly string[];
  /** Build even if there is an image of the same recipe. */
  force?: boolean;
  /** Debian mirror to use instead of the one of this machine's apt. */
  mirror?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((event: BuildProgress) => void) | undefined;
}

/**
 * Builds an image, or returns the one there is of the same recipe and packages.
 *
 * @throws SbxError `image_build_failed`, `disk_full`, `usage` for a package name that cannot be one
 */
export async function buildImage(request: BuildRequest): Promise<OpenImage> {
  const extraPackages = checkPackages(request.extraPackages);
  const { store, recipe, signal } = request;
  const build = buildKey(recipe, extraPackages);
  await store.prepare();
  const report = (stage: string, message: string): void => request.onProgress?.({ stage, message });
  const onWait = (): void => report("image-wait", "waiting for another build to end");
  return await whileBuilding(store.imagesPath, { signal, onWait }, async () => {
    await removeStaleBuilds(store.imagesPath);
    const present = request.force === true ? null : await store.findByBuild(build);
    if (present !== null) return present;
    await requireBuildTools();
    return await buildAnywhere(request, extraPackages, build);
  });
}

/** In memory if there is enough of it, else, or when it turns out not to be enough, on the disk. */
async function buildAnywhere(
  request: BuildRequest,
  extraPackages: readonly string[],
  build: string,
): Promise<OpenImage> {
  const { signal, onProgress } = request;
  const place = await chooseWorkPlace();
  try {
    return await buildAt(place, request, extraPackages, build);
  } catch (error) {
    signal?.throwIfAborted();
    if (place === "disk" || !isOutOfSpace(error)) return failBuild(error);
    onProgress?.({ stage: "image-packages", message: "not enough memory to work in: starting again on the disk" });
    return await buildAt("disk", request, extraPackages, build).catch(failBuild);
  }
}

async function buildAt(
  place: WorkPlace,
  request: BuildRequest,
  extraPackages: readonly string[],
  build: string,
): Promise<OpenImage> {
  const { store } = request;
  await requireDiskSpace(store.imagesPath, place);
  const directory = await makeBuildDirectory(store.imagesPath);
  try {
    const manifest = await assemble(place, request, extraPackages, build, directory);
    request.onProgress?.({ stage: "image-publish", message: "saving the image" });
    const id = await store.publish(directory, manifest);
    return await store.open(id);
  } finally {
    await removeBuildDirectory(directory);
  }
}

async function assemble(
  place: WorkPlace,
  request: BuildRequest,
  extraPackages: readonly string[],
  build: string,
  directory: string,
): Promise<ImageManifest> {
  const { recipe, signal, onProgress } = request;
  const step = (stage: string, message: string): void => onProgress?.({ stage, message });
  step("image-mirror", "looking for Debian on this machine's mirror");
  const sources = await findDebianSources(recipe.distributions, {
    scratchPath: directory,
    mirror: request.mirror,
    signal,
  });
  const diskPath = await makeWorkDirectory(path.join(directory, "work"));
  const content = await (async () => {
    await using workshop = await openWorkshop({ diskPath, place, visible: [directory], signal });
    await installPackages(workshop, request, sources, extraPackages, directory);
    step("image-kernel", "adding the kernel");
    const kernel = await installKernel(workshop, recipe, signal);
    await mergeTools(workshop, signal);
    step("image-account", "setting up the guest's account");
    await finishRootSystem(rootOptions(workshop, request, sources, extraPackages));
    const registries = await findRegistries(workshop, rootPath(workshop), sources.guestList, signal);
    await writeFile(path.join(directory, "modules.cpio"), await packModules(workshop, recipe, kernel.release, signal));
    await workshop.run(["cp", kernel.imagePath, path.join(directory, "vmlinuz")], { signal });
    const packages = [...(await listPackages(workshop)), kernel.package];
    const distribution = await distributionName(workshop);
    step("image-disk", "writing the file system");
    const fileSystemUuid = randomUUID();
    await writeFileSystem(workshop, path.join(directory, "root.ext4"), fileSystemUuid, signal);
    return { kernel: kernel.release, packages, distribution, registries, fileSystemUuid };
  })();
  await rm(diskPath, { recursive: true });
  await rm(path.join(directory, "npm"), { recursive: true });
  const files = await hashFiles(directory, request);
  const { codename } = sources.distribution;
  const identity = { recipe: recipe.hash, build, architecture: recipe.architecture, createdAt: Date.now() };
  return {
    schema: 1,
    ...content,
    packages: content.packages.sort((a, b) => (a.name < b.name ? -1 : 1)),
    ...identity,
    codename,
    user: GUEST_USER,
    extraPackages: [...extraPackages],
    files,
  };
}

/** Debian and the tools from npm at the same time; when one fails the other is stopped. */
async function installPackages(
  workshop: Workshop,
  request: BuildRequest,
  sources: DebianSources,
  extraPackages: readonly string[],
  directory: string,
): Promise<void> {
  const stop = new AbortController();
  const signal = request.signal === undefined ? stop.signal : AbortSignal.any([request.signal, stop.signal]);
  const guard = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const tools = async (): Promise<void> => {
    const fetched = await fetchNpmPackages(request.recipe.npm, path.join(directory, "npm"), signal);
    await unpackNpmPackages(fetched, workshop, toolsPath(workshop), signal);
  };
  const debian = async (): Promise<void> => {
    await installDebian({ ...rootOptions(workshop, request, sources, extraPackages), signal });
    request.onProgress?.({ stage: "image-tools", message: "adding node, npm and deno" });
  };
  const results = await Promise.allSettled([guard(tools()), guard(debian())]);
  request.signal?.throwIfAborted();
  // The one that failed first is the reason; the other one only says that it was stopped.
  if (stop.signal.aborted) throw stop.signal.reason;
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function rootOptions(
  workshop: Workshop,
  request: BuildRequest,
  sources: DebianSources,
  extraPackages: readonly string[],
): RootSystemOptions {
  const { recipe, signal, onProgress } = request;
  const stage = "image-packages";
  const title = `Debian ${sources.distribution.codename}`;
  let step = "installing packages";
  return {
    workshop,
    sources,
    recipe,
    extraPackages,
    signal,
    onStep: (message) => {
      step = message;
      onProgress?.({ stage, message: `${title}: ${step}` });
    },
    onPackages: (done, total) => onProgress?.({ stage, message: `${title}: ${step}`, done, total }),
  };
}

function toolsPath(workshop: Workshop): string {
  return `${workshop.directory}/tools`;
}

/** Hard links, so that nothing is copied; they are single again when the tree is gone. */
async function mergeTools(workshop: Workshop, signal: AbortSignal | undefined): Promise<void> {
  const tools = toolsPath(workshop);
  await workshop.run(["cp", "--archive", "--link", `${tools}/.`, rootPath(workshop)], { signal });
  await workshop.run(["rm", "-rf", tools], { signal });
}

async function hashFiles(directory: string, request: BuildRequest): Promise<ImageManifest["files"]> {
  const hash = async (name: ImageFile): Promise<ImageManifest["files"][ImageFile]> => {
    const message = "taking the image's fingerprint";
    const onBytes = (done: number): void => {
      if (name === "root.ext4") request.onProgress?.({ stage: "image-hash", message, done, total, unit: "bytes" });
    };
    const filePath = path.join(directory, name);
    // Whatever the umask: QEMU runs as another account when sbx is root. The directories above are closed.
    await chmod(filePath, 0o644);
    return await hashFile(filePath, { signal: request.signal, onBytes });
  };
  const { size: total } = await stat(path.join(directory, "root.ext4"));
  const [root, kernel, modules] = IMAGE_FILES;
  return { [root]: await hash(root), [kernel]: await hash(kernel), [modules]: await hash(modules) };
}

function checkPackages(names: readonly string[]): string[] {
  for (const name of names) {
    if (isPackageName(name)) continue;
    throw new SbxError("usage", `${JSON.stringify(name)} cannot be the name of a Debian package`, {
      hint: "package names are lower-case, such as python3-numpy; look for one with: apt-cache search numpy",
    });
  }
  return [...new Set(names)].sort();
}

async function requireDiskSpace(imagesPath: string, place: WorkPlace): Promise<void> {
  const { bavail, bsize } = await statfs(imagesPath);
  const free = bavail * bsize;
  const needed = IMAGE_BYTES + (place === "disk" ? WORK_BYTES : 0);
  if (free >= needed) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new SbxError("disk_full", `building an image takes ${gigabytes(needed)} of disk, ${gigabytes(free)} are free`, {
    hint: `make room on the disk of ${imagesPath}, or remove images: sbx prune --images`,
  });
}

/** Whether something on the way ran out of room. */
function isOutOfSpace(error: unknown): boolean {
  for (let item = error; item instanceof Error; item = item.cause) {
    const output = item instanceof CommandFailure ? item.output : "";
    if ((item as NodeJS.ErrnoException).code === "ENOSPC") return true;
    if (/No space left on device|ENOSPC/.test(`${item.message}\n${output}`)) return true;
  }
  return false;
}

/** Whatever went wrong, as an error that a user can act on. */
function failBuild(error: unknown): never {
  if (isOutOfSpace(error)) {
    const hint = "make room, or remove images: sbx prune --images";
    throw new SbxError("disk_full", "the disk ran full while the image was built", { cause: error, hint });
  }
  if (error instanceof SbxError || !(error instanceof Error) || error.name === "AbortError") throw error;
  const cause = error instanceof CommandFailure && error.output !== "" ? new Error(error.output) : undefined;
  throw new SbxError("image_build_failed", `the image could not be built: ${error.message}`, {
    cause: cause ?? error,
    hint: "try again with: sbx setup; if it fails again: sbx doctor",
  });
}
