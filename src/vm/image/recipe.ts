/**
 * What the base image is made of: image/recipe.json and the files under image/rootfs. Both are part of sbx, so they are
 * trusted; they are parsed strictly all the same, because a recipe with a slip in it must not build.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";

/** Architecture of a guest, in Debian's words. */
export type Architecture = "amd64" | "arm64";

/** Raised when the way an image is built changes so that images of the same recipe should be built anew. */
const BUILDER_VERSION = 1;

const absolutePath = z.string().regex(/^\/[A-Za-z0-9@._/-]+$/);
const mode = z.string().regex(/^0[0-7]{3}$/);
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,99}$/);

export const npmPackage = z.strictObject({
  name: z.string().regex(/^(@[a-z0-9-]+\/)?[a-z0-9._-]+$/),
  version: z.string().regex(/^[0-9A-Za-z.+-]+$/),
  /** What the tarball must hash to, in the form of a package lock. */
  integrity: z.string().regex(/^sha512-[A-Za-z0-9+/]{86}==$/),
  into: absolutePath,
  /** Members that are unpacked, relative to the package. */
  keep: z.array(z.string()).min(1),
  /** Patterns among them that are not. */
  drop: z.array(z.string()),
});

const recipeSchema = z.strictObject({
  schema: z.literal(1),
  /** In the order they are tried. */
  distributions: z.array(z.strictObject({ codename: z.string(), packages: z.array(packageName) })).min(1),
  packages: z.array(packageName).min(1),
  /** What the initramfs must be able to load, in this order, before the root file system is there. */
  kernelModules: z.array(z.string().regex(/^[a-z0-9_]+$/)),
  npm: z.strictObject({ amd64: z.array(npmPackage), arm64: z.array(npmPackage), all: z.array(npmPackage) }),
  links: z.array(z.strictObject({ path: absolutePath, target: z.string().min(1) })),
  directories: z.array(z.strictObject({ path: absolutePath, mode, owner: z.string() })),
  files: z.array(z.strictObject({ path: absolutePath, mode })),
});

export type NpmPackage = z.infer<typeof npmPackage>;
export type RecipeDistribution = z.infer<typeof recipeSchema>["distributions"][number];

/** One file that the image gets beside the packages. */
export interface RecipeFile {
  path: string;
  mode: string;
  content: Buffer;
}

export interface Recipe extends Omit<z.infer<typeof recipeSchema>, "files" | "npm"> {
  architecture: Architecture;
  npm: NpmPackage[];
  files: RecipeFile[];
  /** sha-256 over everything above, lower-case hex. */
  hash: string;
}

/** The guest's architecture on this host: there is no emulation of a foreign one. */
export function hostArchitecture(): Architecture {
  return process.arch === "arm64" ? "arm64" : "amd64";
}

/**
 * Reads the recipe that lies in `directory` (the package's `image/`).
 *
 * @throws Error when a file is missing or says something it must not
 */
export async function readRecipe(directory: string, architecture: Architecture): Promise<Recipe> {
  const text = await readFile(path.join(directory, "recipe.json"), "utf8");
  const parsed = recipeSchema.parse(JSON.parse(text));
  const files: RecipeFile[] = [];
  for (const file of parsed.files) {
    files.push({ ...file, content: await readFile(path.join(directory, "rootfs", file.path)) });
  }
  const recipe = { ...parsed, architecture, npm: [...parsed.npm[architecture], ...parsed.npm.all], files };
  return { ...recipe, hash: hashRecipe(recipe) };
}

/** What identifies a build: the recipe and what the user wants on top. Lower-case hex. */
export function buildKey(recipe: Recipe, extraPackages: readonly string[]): string {
  return createHash("sha256")
    .update(JSON.stringify([recipe.hash, [...extraPackages].sort()]))
    .digest("hex");
}

/** Whether Debian could have a package of this name. */
export function isPackageName(name: string): boolean {
  return packageName.safeParse(name).success;
}

function hashRecipe(recipe: Omit<Recipe, "hash">): string {
  const hash = createHash("sha256");
  const { files, ...rest } = recipe;
  hash.update(JSON.stringify([BUILDER_VERSION, rest]));
  for (const file of files) {
    hash.update(JSON.stringify([file.path, file.mode, file.content.length]));
    hash.update(file.content);
  }
  return hash.digest("hex");
}
