/** Removing what nothing refers to. */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { isLive } from "../../store/lifecycle.ts";
import type { CallOptions } from "../runtime.ts";
import type { PrunedKind, PruneReport } from "../types.ts";
import { pruneDisks } from "./disks/prune-disks.ts";
import type { LocalImages } from "./images.ts";
import { SANDBOX_ID } from "./sandbox-id.ts";
import { damagedDatabases, type LocalState } from "./state.ts";
import { discardTemplate, idleTemplates, orphanedTemplates } from "./templates.ts";

export interface PruneContext {
  state: LocalState;
  images: LocalImages;
}

/** Goes on past what cannot be removed, and reports it. */
export async function prune(
  { state, images }: PruneContext,
  options: CallOptions & { dryRun?: boolean; images?: boolean; volumes?: boolean },
): Promise<PruneReport> {
  const report: PruneReport = { removed: [], failed: [] };
  const dryRun = options.dryRun === true;
  const attempt = async (kind: PrunedKind, id: string, bytes: number, work: () => unknown): Promise<void> => {
    try {
      if (!dryRun) await work();
      report.removed.push({ kind, id, bytes });
    } catch (error) {
      report.failed.push({ kind, id, error: error instanceof Error ? error.message : String(error) });
    }
  };
  const { store, paths } = state;
  for (const row of store.list().filter(({ status }) => !isLive(status))) {
    await attempt("sandbox", row.id, 0, () => {
      rmSync(row.directory, { recursive: true, force: true });
      store.forget(row.id);
    });
  }
  for (const name of readdirSync(paths.sandboxesPath)) {
    if (store.get(name) !== undefined) continue;
    await attempt("directory", name, 0, () =>
      rmSync(path.join(paths.sandboxesPath, name), { recursive: true, force: true }),
    );
  }
  for (const name of readdirSync(paths.socketsPath)) {
    const id = name.replace(/\.sock$/, "");
    if (!SANDBOX_ID.test(id) || isLive(store.get(id)?.status ?? "stopped")) continue;
    await attempt("directory", name, 0, () => rmSync(path.join(paths.socketsPath, name), { force: true }));
  }
  const used = new Set(store.listLive().map(({ spec }) => spec.templateKey));
  const isThere = (id: string): boolean => state.disks.snapshots.get(id) !== undefined;
  const orphans = await orphanedTemplates(paths, used, isThere);
  const idle = (await idleTemplates(paths, used)).filter(({ key }) => !orphans.some((orphan) => orphan.key === key));
  for (const { key, bytes } of [...orphans, ...idle]) {
    await attempt("template", key, bytes, () => discardTemplate(paths, key));
  }
  for (const file of damagedDatabases(paths)) await attempt("directory", path.basename(file), 0, () => rmSync(file));
  // Before images: what is gone stands on none.
  await pruneDisks(state, { dryRun, volumes: options.volumes === true }, attempt);
  const pruned = await images.prune({ ...options, dryRun, unused: options.images === true });
  report.removed.push(...pruned.images.map(({ id, bytes }) => ({ kind: "image" as const, id, bytes })));
  report.removed.push(...pruned.directories.map((id) => ({ kind: "directory" as const, id, bytes: 0 })));
  return report;
}
