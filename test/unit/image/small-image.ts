/** Images of a few bytes, made as a build makes them. */
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { makeBuildDirectory } from "../../../src/vm/image/build-directory.ts";
import { hashFile } from "../../../src/vm/image/file-hash.ts";
import type { ImageStore } from "../../../src/vm/image/image-store.ts";
import { IMAGE_FILES, type ImageManifest } from "../../../src/vm/image/manifest.ts";

export const HASH = "a".repeat(64);

/** A manifest without files to it. */
export function manifestOf(files: ImageManifest["files"], changes: Partial<ImageManifest> = {}): ImageManifest {
  return {
    schema: 1,
    architecture: "amd64",
    distribution: "Debian GNU/Linux 13 (trixie)",
    codename: "trixie",
    kernel: "6.12.1-cloud-amd64",
    user: { name: "app", uid: 1000, gid: 1000, home: "/home/app" },
    extraPackages: [],
    packages: [{ name: "bash", version: "5.2" }],
    recipe: HASH,
    build: HASH,
    registries: [{ tool: "npm", host: "packages.example.com" }],
    fileSystemUuid: randomUUID(),
    createdAt: 1_700_000_000_000,
    files,
    ...changes,
  };
}

/** Publishes an image and returns its id. */
export async function publishSmallImage(store: ImageStore, changes: Partial<ImageManifest> = {}): Promise<string> {
  await store.prepare();
  const directory = await makeBuildDirectory(store.imagesPath);
  const describe = async (name: string): Promise<ImageManifest["files"]["vmlinuz"]> => {
    const filePath = path.join(directory, name);
    await writeFile(filePath, `content of ${name}`);
    return await hashFile(filePath);
  };
  const [root, kernel, modules] = IMAGE_FILES;
  const files = {
    [root]: await describe(root),
    [kernel]: await describe(kernel),
    [modules]: await describe(modules),
  };
  return await store.publish(directory, manifestOf(files, changes));
}
