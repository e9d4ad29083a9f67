/**
 * What killed commands left outside of sandboxes: half-made templates, the scratch disks of accelerator probes, the
 * packages of an editor's disk.
 * Each carries the pid of its maker in its name, so looking at names is enough to tell what nobody will finish.
 */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { identifyProcess } from "../../host/process-identity.ts";
import { findAbandonedScratch } from "./copies/scratch.ts";
import type { StatePaths } from "./paths.ts";

/** Prefixes of the names of unfinished things; a pid and a dash follow. */
export const TEMPLATE_BUILD_PREFIX = ".build-";
export const TEMPLATE_REMOVAL_PREFIX = ".old-";
export const PROBE_PREFIX = "probe-";
export const EDITOR_PREFIX = "editor-";

const LEFTOVER = /^(?:\.build-|\.old-|probe-|editor-)(\d+)-/;

/** Paths of what dead processes left. */
export function findLeftovers(paths: StatePaths): string[] {
  const named = [paths.templatesPath, paths.statePath].flatMap((directory) =>
    readdirSync(directory)
      .filter(isLeftover)
      .map((name) => path.join(directory, name)),
  );
  return [...named, ...findAbandonedScratch(paths)];
}

export function removeLeftovers(paths: StatePaths): void {
  for (const leftover of findLeftovers(paths)) rmSync(leftover, { recursive: true, force: true });
}

function isLeftover(name: string): boolean {
  const pid = LEFTOVER.exec(name)?.[1];
  return pid !== undefined && identifyProcess(Number(pid)) === null;
}
