/**
 * Templates: a booted and settled machine on disk, from which a sandbox starts in a fraction of a second. A directory
 * `<templates>/<key>/` holds the guest's memory, the device state, the disk layer of the first boot and an empty layer
 * to copy. Other processes of the user could damage them: each use checks that they are what was written.
 */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { SbxError } from "../runtime/errors.ts";
import type { DiskLayer, MachineSpec } from "./machine-spec.ts";
import { kernelCommandLine, qemuArgs } from "./qemu-args.ts";

const SCHEMA = 4;
const MAX_RECORD_BYTES = 64 * 1024;

export interface TemplatePaths {
  directory: string;
  /** The guest's memory: sparse, as large as the guest's RAM. */
  memoryPath: string;
  /** Device state, some 80 kB. */
  statePath: string;
  /** What the first boot wrote to the disk, over the image. */
  diskPath: string;
  /** An empty layer over `diskPath`; each sandbox gets a copy. */
  emptyLayerPath: string;
  recordPath: string;
}

export interface TemplateInputs {
  /** Names what the machine boots from: an image, or a snapshot. Its content never changes. */
  rootId: string;
  rootLayers: DiskLayer[];
  /** Names the build of the agent. */
  agentStamp: string;
  qemuVersion: string;
  machine: MachineSpec;
  diskBytes: number;
}

const stampSchema = z.object({ size: z.number(), mtimeNs: z.string(), ctimeNs: z.string(), ino: z.string() });

const recordSchema = z.object({
  schema: z.literal(SCHEMA),
  key: z.string(),
  imageId: z.string(),
  rootId: z.string(),
  createdAt: z.number(),
  accelerator: z.string(),
  stateSha256: z.string(),
  files: z.record(z.string(), stampSchema),
});

export type TemplateRecord = z.infer<typeof recordSchema>;

/** Device state fits exactly the machine it was saved from, so the key covers everything that shapes one. */
export function templateKey(inputs: TemplateInputs): string {
  // The measured clock is left out: each measurement differs a little, and the saved guest has its own.
  const machine = { ...inputs.machine, accelerator: { ...inputs.machine.accelerator, tscKhz: null } };
  const shape = [...shapeOf(machine, inputs.rootLayers), kernelCommandLine(machine, { verbose: false })];
  return createHash("sha256")
    .update(JSON.stringify([SCHEMA, inputs.rootId, inputs.agentStamp, inputs.qemuVersion, shape, inputs.diskBytes]))
    .digest("hex")
    .slice(0, 32);
}

/** Another version of sbx may build another machine; two of them side by side must not fight over one template. */
function shapeOf(machine: MachineSpec, rootLayers: DiskLayer[]): string[] {
  return qemuArgs({
    name: "sbx",
    machine,
    mode: { kind: "restore" },
    memoryPath: "memory",
    readOnlyTemplate: false,
    disk: [
      // What they hold is the root's identity; where they lie changes.
      ...rootLayers.map(({ format }) => ({ path: "root", format })),
      { path: "disk", format: "qcow2" },
      { path: "layer", format: "qcow2" },
    ],
    diskWrites: "discarded",
    network: true,
  });
}

export function templatePaths(directory: string): TemplatePaths {
  return {
    directory,
    memoryPath: path.join(directory, "memory"),
    statePath: path.join(directory, "state"),
    diskPath: path.join(directory, "disk.qcow2"),
    emptyLayerPath: path.join(directory, "empty.qcow2"),
    recordPath: path.join(directory, "template.json"),
  };
}

/** Describes finished files. The inode's times change with every write, so a later look notices any. */
export async function describeTemplate(
  paths: TemplatePaths,
  facts: { key: string; imageId: string; rootId: string; accelerator: string },
): Promise<TemplateRecord> {
  const state = await readFile(paths.statePath);
  return {
    schema: SCHEMA,
    ...facts,
    createdAt: Date.now(),
    stateSha256: createHash("sha256").update(state).digest("hex"),
    files: await stampFiles(paths),
  };
}

/**
 * Opens a template for use; `undefined` when there is none.
 *
 * @throws SbxError `template_broken` naming the file that is not what was written
 */
export async function openTemplate(directory: string): Promise<TemplateRecord | undefined> {
  const paths = templatePaths(directory);
  let text: string;
  try {
    if ((await stat(paths.recordPath)).size > MAX_RECORD_BYTES) throw broken(paths.recordPath, "it is too long");
    text = await readFile(paths.recordPath, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const record = parseRecord(text, paths.recordPath);
  if (record.key !== path.basename(directory)) throw broken(paths.recordPath, "it belongs to another template");
  let now: TemplateRecord["files"];
  try {
    now = await stampFiles(paths);
  } catch (cause) {
    throw broken(directory, "a file is missing", cause);
  }
  for (const [name, stamp] of Object.entries(now)) {
    if (JSON.stringify(stamp) !== JSON.stringify(record.files[name]))
      throw broken(path.join(directory, name), "it was changed");
  }
  const state = await readFile(paths.statePath);
  if (createHash("sha256").update(state).digest("hex") !== record.stateSha256) {
    throw broken(paths.statePath, "its content is not what was saved");
  }
  return record;
}

/** What the machine of a template boots from; `undefined` where there is no readable record. */
export async function readTemplateRoot(directory: string): Promise<string | undefined> {
  const { recordPath } = templatePaths(directory);
  try {
    if ((await stat(recordPath)).size > MAX_RECORD_BYTES) return undefined;
    return parseRecord(await readFile(recordPath, "utf8"), recordPath).rootId;
  } catch {
    return undefined; // Whoever wants to use it finds out why.
  }
}

function parseRecord(text: string, recordPath: string): TemplateRecord {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw broken(recordPath, "it does not parse", cause);
  }
}

async function stampFiles(paths: TemplatePaths): Promise<TemplateRecord["files"]> {
  const files = [paths.memoryPath, paths.statePath, paths.diskPath, paths.emptyLayerPath];
  const stamps = await Promise.all(
    files.map(async (file) => {
      const { size, mtimeNs, ctimeNs, ino } = await stat(file, { bigint: true });
      const stamp = { size: Number(size), mtimeNs: String(mtimeNs), ctimeNs: String(ctimeNs), ino: String(ino) };
      return [path.basename(file), stamp] as const;
    }),
  );
  return Object.fromEntries(stamps);
}

function broken(file: string, why: string, cause?: unknown): SbxError {
  return new SbxError("template_broken", `the template is damaged: ${file}: ${why}`, { cause, hint: "sbx setup" });
}
