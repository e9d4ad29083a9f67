/**
 * Makes the disk that VS Code for the browser lies on: packages from npm, checked against the recipe, unpacked and
 * written to an ext4 file system. No script of a package runs, here or anywhere; nothing is mounted, and root is not
 * needed. What is in the packages runs in guests alone.
 */
import { createReadStream } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import type { ProgressEvent } from "../../runtime/types.ts";
import { EXT4_CONFIGURATION, EXT4_FEATURES } from "../image/file-system.ts";
import { fetchNpmPackages, type FetchedPackage } from "../image/npm-packages.ts";
import { chooseWorkPlace, makeWorkDirectory, openWorkshop, type Workshop } from "../image/workshop.ts";
import type { EditorRecipe } from "./recipe.ts";

const STAGE = "editor";
/** Files are small: one inode for each so many bytes of the disk. */
const BYTES_PER_INODE = 16_384;
const LABEL = "sbx-code";
/** Never written to while it is mounted, so it needs no journal. */
const FEATURES = EXT4_FEATURES.filter((feature) => feature !== "has_journal");

export interface EditorDiskOptions {
  recipe: EditorRecipe;
  /** A file that reads as zeros, as large as the recipe says. */
  filePath: string;
  /** Begins the name of the directory for the packages, by which it is found again if nobody removes it. */
  scratchPrefix: string;
  /** Names the file system. */
  uuid: string;
  signal?: AbortSignal | undefined;
  onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** @throws SbxError `image_build_failed`, `disk_full` */
export async function writeEditorDisk(options: EditorDiskOptions): Promise<void> {
  const { recipe, filePath, scratchPrefix, signal, onProgress } = options;
  const step = (message: string): void => onProgress?.({ stage: STAGE, message });
  const scratch = await mkdtemp(scratchPrefix);
  try {
    await chmod(scratch, 0o755);
    step(`downloading VS Code for the browser (code-server ${recipe.version})`);
    const fetched = await fetchNpmPackages(recipe.npm, path.join(scratch, "npm"), signal);
    step("unpacking VS Code for the browser");
    const diskPath = await makeWorkDirectory(path.join(scratch, "work"));
    const place = await chooseWorkPlace();
    await using workshop = await openWorkshop({ diskPath, place, visible: [scratch, path.dirname(filePath)], signal });
    const tree = `${workshop.directory}/tree`;
    for (const item of fetched) await unpack(workshop, tree, item, signal);
    for (const { name, content } of recipe.files) {
      await workshop.run(["mkdir", "-p", path.dirname(`${tree}/${name}`)], { signal });
      await workshop.writeFile(`${tree}/${name}`, content, signal);
    }
    step("writing the disk of VS Code for the browser");
    await makeFileSystem(workshop, tree, options);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function unpack(
  workshop: Workshop,
  tree: string,
  { package: item, tarballPath }: FetchedPackage,
  signal: AbortSignal | undefined,
): Promise<void> {
  const target = `${tree}${item.into}`;
  await workshop.run(["mkdir", "-p", target], { signal });
  const drops = item.drop.map((pattern) => `--exclude=package/${pattern}`);
  const keeps = item.keep.map((member) => (member === "." ? "package" : `package/${member}`));
  const flags = ["--extract", "--gzip", "--no-same-owner", "--no-same-permissions", "--strip-components=1"];
  await workshop.run(["tar", ...flags, "--wildcards", ...drops, "--directory", target, "--no-wildcards", ...keeps], {
    signal,
    stdin: createReadStream(tarballPath),
  });
}

async function makeFileSystem(
  workshop: Workshop,
  tree: string,
  { filePath, uuid, signal }: EditorDiskOptions,
): Promise<void> {
  const configuration = `${workshop.directory}/mke2fs.conf`;
  await workshop.writeFile(configuration, EXT4_CONFIGURATION, signal);
  const flags = [
    ...["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", String(BYTES_PER_INODE), "-m", "0", "-L", LABEL],
    ...["-U", uuid, "-O", FEATURES.join(","), "-E", `hash_seed=${uuid},root_owner=0:0`, "-d", tree, filePath],
  ];
  // npm's packages have files that only their owner may read, and in the guest another account is to.
  await workshop.run(["chmod", "-R", "a+rX,go-w", tree], { signal });
  await workshop.run(["env", `MKE2FS_CONFIG=${configuration}`, "mke2fs", ...flags], { signal });
}
