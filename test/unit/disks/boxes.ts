/** Sandboxes of a home of a test's own that are records with a door: what they answer is the test's to say. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import { DISK_SNAPSHOTS_TARGET, type SnapshotCall } from "../../../src/protocol/disk-calls.ts";
import { emptyQcow2 } from "../../../src/runtime/local/disks/empty-qcow2.ts";
import { templatePaths } from "../../../src/vm/template.ts";
import { publishSmallImage } from "../image/small-image.ts";
import { openFakeDoor, type FakeDoor } from "../local-runtime/fake-door.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { MiB, type DiskHome } from "./disk-home.ts";

export const SWITCH = `POST ${DISK_SNAPSHOTS_TARGET}`;
export const DONE = { body: { isClean: true, pausedMs: 2 } };

export interface Box {
  id: string;
  door: FakeDoor;
  directory: string;
  /** What it was asked to write to, in order. */
  layers: () => string[];
}

/** A sandbox with a door, on a template of its own or on what it claims. */
export async function makeBox(t: TestContext, home: DiskHome, name: string): Promise<Box> {
  const door = await openFakeDoor(t);
  const directory = path.join(home.path, name);
  const imageId = await publishSmallImage(home.context.images.store);
  const layer = emptyLayer();
  mkdirSync(directory);
  writeFileSync(path.join(directory, "disk.qcow2"), layer);
  const template = path.join(home.state.paths.templatesPath, `key-${name}`);
  mkdirSync(template);
  writeFileSync(templatePaths(template).diskPath, layer);
  const spec = { ...sampleSandbox().spec, imageId, templateKey: `key-${name}`, diskBytes: 16 * MiB };
  const id = home.sandbox({ name, directory, socket: door.socketPath, spec });
  door.answers.set(SWITCH, () => DONE);
  const layers = (): string[] => door.requests.map(({ body }) => (body as SnapshotCall).layerPath);
  return { id, door, directory, layers };
}

function emptyLayer(): Buffer {
  const { head, fileBytes } = emptyQcow2(16 * MiB, "raw");
  return Buffer.concat([head, Buffer.alloc(fileBytes - head.length)]);
}

/** A volume with a writer behind a door. */
export async function makeUsedVolume(t: TestContext, home: DiskHome): Promise<Box> {
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const box = await makeBox(t, home, "box");
  home.state.disks.change(() => home.state.disks.claims.claim({ id, slug: "data" }, box.id, "read-write", "/data"));
  return box;
}
