/**
 * Directories of builds under way. Their names say whose they are, so that those of builders that are gone can be told
 * from those of living ones and removed by whoever comes next.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { identifyProcess, isAlive, ownIdentity } from "../../host/process-identity.ts";
import { removeWorkOnDisk } from "./workshop.ts";

const BUILD_NAME = /^\.build-(\d+)-(\d+)-[0-9a-f]{12}$/;
/** A directory that was renamed to be removed; the rename is what counts. */
export const TRASH_PREFIX = ".trash-";
/** What {@link writeDurably} leaves behind when it is killed; the number is its process. */
const TEMPORARY_NAME = /\.(\d+)\.[0-9a-f]{12}\.tmp$/;

/** Makes a directory for this process's build. */
export async function makeBuildDirectory(imagesPath: string): Promise<string> {
  const self = ownIdentity();
  const name = `.build-${self.pid}-${self.startTicks}-${randomBytes(6).toString("hex")}`;
  const directory = path.join(imagesPath, name);
  await mkdir(directory, { mode: 0o700 });
  return directory;
}

/** Removes a build's directory, also when files of other owners are in it. */
export async function removeBuildDirectory(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
  } catch (error) {
    if (!["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await removeWorkOnDisk(path.join(directory, "work"));
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Removes what interrupted builds and removals left, and returns the paths. What living processes work on stays.
 *
 * @param dryRun only say what would be removed
 */
export async function removeStaleBuilds(imagesPath: string, dryRun = false): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await entriesOf(imagesPath)) {
    const directory = path.join(imagesPath, name);
    if (isStale(name)) {
      if (!dryRun) await removeBuildDirectory(directory);
      removed.push(directory);
    } else if (name === "names" || /^[0-9a-f]{64}$/.test(name)) {
      removed.push(...(await removeStaleFiles(directory, dryRun)));
    }
  }
  return removed;
}

function isStale(name: string): boolean {
  if (name.startsWith(TRASH_PREFIX)) return true;
  const match = BUILD_NAME.exec(name);
  if (match?.[1] === undefined || match[2] === undefined) return false;
  return !isAlive({ pid: Number(match[1]), startTicks: match[2] });
}

async function removeStaleFiles(directory: string, dryRun: boolean): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await entriesOf(directory)) {
    const match = TEMPORARY_NAME.exec(name);
    if (match?.[1] === undefined || identifyProcess(Number(match[1])) !== null) continue;
    const filePath = path.join(directory, name);
    if (!dryRun) await rm(filePath, { force: true });
    removed.push(filePath);
  }
  return removed;
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
