/** Templates of this user: finds the one that fits, makes it if there is none, and removes what is no longer used. */
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { agentPath } from "../../host/package-root.ts";
import type { DiskLayerRecord } from "../../protocol/disk-calls.ts";
import { LAUNCH_VERSION, type LaunchMachine } from "../../protocol/launch.ts";
import { acquireLock } from "../../store/locks.ts";
import { ensureInitrd } from "../../vm/image/initrd.ts";
import type { OpenImage } from "../../vm/image/image-store.ts";
import { hostArchitecture } from "../../vm/image/recipe.ts";
import { openTemplate, readTemplateRoot, templateKey, templatePaths, type TemplatePaths } from "../../vm/template.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions } from "../runtime.ts";
import { TEMPLATE_BUILD_PREFIX, TEMPLATE_REMOVAL_PREFIX } from "./leftovers.ts";
import type { StatePaths } from "./paths.ts";
import { startSupervisor } from "./supervisor-process.ts";

/** Templates that are kept although no live sandbox uses them; the least recently used go first. */
const MAX_IDLE_TEMPLATES = 6;
const SNAPSHOT_PREFIX = "snp_";

/** What a template's disk stands on. Its content never changes. */
export interface TemplateRoot {
  /** Of an image, or of a snapshot and the image whose kernel boots it. */
  id: string;
  layers: DiskLayerRecord[];
}

export interface TemplateRequest extends CallOptions {
  paths: StatePaths;
  database: DatabaseSync;
  /** Has the kernel. */
  image: OpenImage;
  root: TemplateRoot;
  machine: LaunchMachine;
}

export interface ReadyTemplate {
  key: string;
  root: TemplateRoot;
  paths: TemplatePaths;
}

export function imageRoot(image: OpenImage): TemplateRoot {
  return { id: image.id, layers: [{ path: image.rootPath, format: "raw" }] };
}

/** @param image has the kernel, which may not be the one that the snapshot was made with */
export function snapshotRoot(
  image: OpenImage,
  { id, layers }: { id: string; layers: DiskLayerRecord[] },
): TemplateRoot {
  return { id: `${id} ${image.id}`, layers };
}

/**
 * Opens the template for this root and machine; makes it first if there is none or it is damaged.
 *
 * @throws SbxError what the boot reports
 */
export async function ensureTemplate(request: TemplateRequest): Promise<ReadyTemplate> {
  const key = await keyOf(request);
  const directory = path.join(request.paths.templatesPath, key);
  const ready = { key, root: request.root, paths: templatePaths(directory) };
  if (await isUsable(directory)) return ready;
  await using _lock = await acquireLock(request.database, `template-${key}`, {
    ...(request.signal === undefined ? {} : { signal: request.signal }),
    onWait: (pid) => {
      request.onProgress?.({ stage: "template", message: `waiting for process ${pid}, which makes this template` });
    },
  });
  // Another process may have made it meanwhile.
  if (await isUsable(directory)) return ready;
  await discardTemplate(request.paths, key);
  await build(request, key, directory);
  return ready;
}

/** Takes a template out of use, so that the next sandbox makes it anew. Running ones keep their files open. */
export async function discardTemplate(paths: StatePaths, key: string): Promise<void> {
  const directory = path.join(paths.templatesPath, key);
  const doomed = path.join(
    paths.templatesPath,
    `${TEMPLATE_REMOVAL_PREFIX}${process.pid}-${randomBytes(4).toString("hex")}`,
  );
  try {
    await rename(directory, doomed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(doomed, { recursive: true, force: true });
}

/** Keys of the templates on disk, the most recently used first, with their sizes. */
export async function listTemplates(paths: StatePaths): Promise<{ key: string; usedAt: number; bytes: number }[]> {
  const names = (await readdir(paths.templatesPath)).filter((name) => !name.startsWith("."));
  const rows = await Promise.all(
    names.map(async (key) => {
      const { mtimeMs } = await stat(path.join(paths.templatesPath, key));
      return { key, usedAt: mtimeMs, bytes: await allocatedBytes(path.join(paths.templatesPath, key)) };
    }),
  );
  return rows.sort((a, b) => b.usedAt - a.usedAt);
}

/** Templates that may go: unused ones beyond a handful. */
export async function idleTemplates(
  paths: StatePaths,
  usedKeys: ReadonlySet<string>,
): Promise<{ key: string; bytes: number }[]> {
  return (await listTemplates(paths)).filter(({ key }) => !usedKeys.has(key)).slice(MAX_IDLE_TEMPLATES);
}

/** Templates of snapshots that are gone: nothing can be started from them. */
export async function orphanedTemplates(
  paths: StatePaths,
  usedKeys: ReadonlySet<string>,
  isThere: (snapshotId: string) => boolean,
): Promise<{ key: string; bytes: number }[]> {
  const orphans: { key: string; bytes: number }[] = [];
  for (const { key, bytes } of await listTemplates(paths)) {
    const [id = ""] = (await readTemplateRoot(path.join(paths.templatesPath, key)))?.split(" ") ?? [];
    if (id.startsWith(SNAPSHOT_PREFIX) && !isThere(id) && !usedKeys.has(key)) orphans.push({ key, bytes });
  }
  return orphans;
}

async function keyOf({ root, machine }: TemplateRequest): Promise<string> {
  return templateKey({
    rootId: root.id,
    rootLayers: root.layers,
    agentStamp: await stampAgent(agentPath(hostArchitecture())),
    qemuVersion: machine.qemu.version,
    machine: machine.machine,
    diskBytes: machine.diskBytes,
  });
}

/**
 * Packages give all their files one time, and two builds may have one size: the hash that the build left beside the
 * agent tells them apart. (Hashing the agent itself would cost a tenth of a start.)
 */
async function stampAgent(file: string): Promise<string> {
  const [{ size, mtimeMs }, buildStamp] = await Promise.all([
    stat(file),
    readFile(path.join(path.dirname(file), "stamp.json"), "utf8").catch(() => ""),
  ]);
  return JSON.stringify([size, Math.round(mtimeMs), buildStamp]);
}

async function isUsable(directory: string): Promise<boolean> {
  try {
    if ((await openTemplate(directory)) === undefined) return false;
    const now = new Date();
    await utimes(directory, now, now); // the order in which unused ones go
    return true;
  } catch (error) {
    if (error instanceof SbxError && error.code === "template_broken") return false;
    throw error;
  }
}

async function build(request: TemplateRequest, key: string, directory: string): Promise<void> {
  const { paths, image, root, machine, signal, onProgress } = request;
  await mkdir(paths.templatesPath, { recursive: true, mode: 0o700 });
  const workPath = mkdtempSync(path.join(paths.templatesPath, `${TEMPLATE_BUILD_PREFIX}${process.pid}-`));
  try {
    onProgress?.({ stage: "template", message: "preparing the image for fast starts" });
    const boot = { kernelPath: image.kernelPath, initrdPath: await ensureInitrd(image, agentPath(hostArchitecture())) };
    const supervisor = await startSupervisor(
      {
        ...{ ...machine, kind: "template", version: LAUNCH_VERSION, directory: workPath, key, boot },
        ...{ imageId: image.id, rootId: root.id, rootLayers: root.layers },
      },
      {
        logPath: path.join(workPath, "supervisor.log"),
        signal,
        onProgress: (message) => onProgress?.({ stage: "template", message }),
      },
    );
    await supervisor.commit();
    await rename(workPath, directory);
  } catch (error) {
    await rm(workPath, { recursive: true, force: true });
    throw error;
  }
}

async function allocatedBytes(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(directory)) sum += (await stat(path.join(directory, name))).blocks * 512;
  return sum;
}
