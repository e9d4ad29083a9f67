/**
 * What VS Code for the browser is made of: image/editor/recipe.json, and the files beside it that go into the guest.
 * All are part of sbx, so they are trusted; they are parsed strictly all the same. Nothing of it is ever run on the host.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { npmPackage, type Architecture, type NpmPackage } from "../image/recipe.ts";

/** Raised when the way the disk is made changes so that it should be made anew. */
const BUILDER_VERSION = 1;
/** Where the modules are that the server loads. */
const MODULES = "code-server/lib/vscode/node_modules";
/** Where its own extensions are. */
const EXTENSIONS = "code-server/lib/vscode/extensions";
/** What lies beside the packages in the guest, by its place on the disk. */
const FILES = {
  "launch.mjs": "launch.mjs",
  "settings.json": "settings.json",
  [`${EXTENSIONS}/sbx-preview/package.json`]: "preview/package.json",
  [`${EXTENSIONS}/sbx-preview/extension.js`]: "preview/extension.js",
  [`${MODULES}/@vscode/deviceid/index.js`]: "modules/deviceid.cjs",
  [`${MODULES}/@vscode/fs-copyfile/index.js`]: "modules/fs-copyfile.cjs",
  [`${MODULES}/@vscode/native-watchdog/index.js`]: "modules/native-watchdog.cjs",
  [`${MODULES}/@vscode/spdlog/index.js`]: "modules/spdlog.cjs",
};

const packages = z.array(npmPackage).min(1);
const recipeSchema = z.strictObject({
  schema: z.literal(1),
  /** Of code-server. */
  version: z.string().regex(/^\d{1,4}\.\d{1,4}\.\d{1,4}$/),
  /** Size of the disk. */
  capacityMiB: z.int().min(64).max(4096),
  npm: z.strictObject({ amd64: packages, arm64: packages, all: packages }),
});

export interface EditorRecipe {
  version: string;
  capacityBytes: number;
  npm: NpmPackage[];
  /** `name` is a place on the disk. */
  files: { name: string; content: Buffer }[];
  /** sha-256 over everything above, lower-case hex. */
  hash: string;
}

/**
 * Reads the recipe that lies in `directory`.
 *
 * @throws Error when a file is missing or says something it must not
 */
export async function readEditorRecipe(directory: string, architecture: Architecture): Promise<EditorRecipe> {
  const parsed = recipeSchema.parse(JSON.parse(await readFile(path.join(directory, "recipe.json"), "utf8")));
  const files = await Promise.all(
    Object.entries(FILES).map(async ([name, file]) => ({ name, content: await readFile(path.join(directory, file)) })),
  );
  const npm = [...parsed.npm[architecture], ...parsed.npm.all];
  const hash = createHash("sha256").update(JSON.stringify([BUILDER_VERSION, architecture, parsed.capacityMiB, npm]));
  for (const { name, content } of files) hash.update(JSON.stringify([name, content.length])).update(content);
  return {
    ...{ version: parsed.version, npm, files },
    capacityBytes: parsed.capacityMiB * 1024 ** 2,
    hash: hash.digest("hex"),
  };
}
