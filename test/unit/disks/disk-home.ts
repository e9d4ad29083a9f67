/** The disks of a home of a test's own, as the local runtime has them, with sandboxes that are only records. */
import { readdirSync } from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { LocalSnapshots } from "../../../src/runtime/local/disks/local-snapshots.ts";
import { LocalVolumes } from "../../../src/runtime/local/disks/local-volumes.ts";
import type { DiskContext } from "../../../src/runtime/local/disks/disk-context.ts";
import { LocalImages } from "../../../src/runtime/local/images.ts";
import { openState, type LocalState } from "../../../src/runtime/local/state.ts";
import type { SandboxRow } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

export const MiB = 1024 ** 2;

export class DiskHome {
  readonly path: string;
  readonly state: LocalState;
  readonly context: DiskContext;
  readonly volumes: LocalVolumes;
  readonly snapshots: LocalSnapshots;

  constructor(home: string, state: LocalState) {
    this.path = home;
    this.state = state;
    const images = new LocalImages({ dataPath: state.paths.dataPath, usedBy: async () => [] });
    this.context = { state, images };
    const findRunning = (ref: string): SandboxRow => this.#findRunning(ref);
    this.volumes = new LocalVolumes({ context: this.context, findRunning, defaultBytes: 64 * MiB });
    this.snapshots = new LocalSnapshots({ context: this.context, findRunning, volumes: this.volumes });
  }

  /** The file that a volume writes to. */
  headPath(slug: string): string {
    const { disks, layerFiles } = this.state;
    const volume = disks.volumes.listReady().find((row) => row.slug === slug);
    const layer = volume === undefined ? undefined : disks.layers.get(volume.head);
    if (layer === undefined) throw new Error(`no volume ${slug}`);
    return layerFiles.pathOf(layer);
  }

  /** The sealed file of a snapshot. */
  snapshotPath(slug: string): string {
    const { disks, layerFiles } = this.state;
    const snapshot = disks.snapshots.listReady().find((row) => row.slug === slug);
    const layer = snapshot === undefined ? undefined : disks.layers.get(snapshot.layer);
    if (layer === undefined) throw new Error(`no snapshot ${slug}`);
    return layerFiles.pathOf(layer);
  }

  /** A sandbox that lives as long as this process. */
  sandbox(change: Parameters<typeof sampleSandbox>[0] = {}): string {
    const row = sampleSandbox(change);
    this.state.store.insert(row);
    this.state.store.transition(row.id, "running", { supervisor: ownIdentity() });
    return row.id;
  }

  endSandbox(id: string): void {
    this.state.store.transition(id, "stopped", { stoppedAt: Date.now(), reason: "killed" });
  }

  /** Names of layers' files. */
  files(): string[] {
    return layerFileNames(this.path);
  }

  #findRunning(ref: string): SandboxRow {
    const row = this.state.store.listLive().find(({ id, name }) => id === ref || name === ref);
    if (row === undefined) throw new SbxError("sandbox_not_found", `there is no sandbox ${JSON.stringify(ref)}`);
    return row;
  }
}

export function layerFileNames(home: string): string[] {
  try {
    return readdirSync(path.join(home, "data", "layers"))
      .filter((name) => name.startsWith("lyr_"))
      .sort();
  } catch {
    return [];
  }
}

/** Opens a home as a command does: what killed ones left is settled. */
export async function openDisks(home: string): Promise<DiskHome & Disposable> {
  const state = await openState({ SBX_HOME: home });
  const disks = new DiskHome(home, state);
  return Object.assign(disks, { [Symbol.dispose]: () => state[Symbol.dispose]() });
}

export async function newDisks(t: TestContext): Promise<DiskHome> {
  const home = await openDisks(temporaryDirectory(t));
  t.after(() => home[Symbol.dispose]());
  return home;
}

/** What is wrong between records and files; empty when they fit. */
export async function inconsistencies(home: DiskHome): Promise<string[]> {
  const { disks, layerFiles } = home.state;
  const layers = disks.layers.list();
  const wrong: string[] = [];
  const known = new Set(layers.map((layer) => path.basename(layerFiles.pathOf(layer))));
  for (const name of home.files()) if (!known.has(name)) wrong.push(`nobody knows ${name}`);
  for (const layer of layers) {
    const fault = await layerFiles.fault(layer);
    if (fault !== null) wrong.push(`${layer.state} ${fault}`);
    if (layer.state === "making" || layer.state === "doomed") wrong.push(`${layer.id} is ${layer.state}`);
  }
  for (const layer of disks.layers.findGarbage()) wrong.push(`${layer.id} is garbage`);
  for (const { slug, state } of [...disks.volumes.list(), ...disks.snapshots.list()]) {
    if (state !== "ready") wrong.push(`${slug} is ${state}`);
  }
  for (const { slug } of disks.volumes.unsettled()) wrong.push(`${slug} is not settled`);
  const snapshots = disks.snapshots.listReady();
  for (const { slug, layer } of snapshots) {
    if (disks.layers.get(layer)?.state !== "sealed") wrong.push(`the layer of snapshot ${slug} is not sealed`);
  }
  for (const volume of disks.volumes.list()) {
    if (disks.layers.get(volume.head)?.state !== "head") wrong.push(`the head of volume ${volume.slug} is none`);
    const shared = disks.volumes.list().filter(({ head }) => head === volume.head).length > 1;
    if (shared) wrong.push(`the head of volume ${volume.slug} is another's too`);
  }
  return wrong;
}
