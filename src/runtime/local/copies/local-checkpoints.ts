/** The checkpoints of this machine. */
import { mkdirSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { syncPath, writeDurably } from "../../../host/durable-file.ts";
import type { CheckpointRow } from "../../../store/disks/checkpoint-store.ts";
import { DISK_NAME, DISK_NAME_RULE, newCheckpointId } from "../../../store/disks/disk-names.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type { CheckpointApi, CheckpointInfo, MachineCopyReport } from "../../checkpoints.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { findNamed } from "../disks/find-disk.ts";
import { collectGarbage } from "../disks/garbage.ts";
import { LOCAL_REGION } from "../sandbox-id.ts";
import { checkpointFaults } from "./checkpoint-faults.ts";
import { saveMachine } from "./save-machine.ts";
import { openSaved, savedFiles } from "./saved-machine.ts";
import { checkpointsPath } from "./scratch.ts";
import type { CopyOrigin } from "./start-copy.ts";

/** What a list shows of one without looking at its files. */
const summarySchema = z.object({
  source: z.object({ id: z.string(), name: z.string().nullable() }),
  imageId: z.string(),
  memoryBytes: z.number(),
  cpus: z.number(),
  diskBytes: z.number(),
});

export interface LocalCheckpointsOptions {
  context: DiskContext;
  /** @throws SbxError for one that does not run */
  findRunning: (ref: string) => SandboxRow;
}

export class LocalCheckpoints implements CheckpointApi {
  readonly #context: DiskContext;
  readonly #findRunning: LocalCheckpointsOptions["findRunning"];

  constructor({ context, findRunning }: LocalCheckpointsOptions) {
    this.#context = context;
    this.#findRunning = findRunning;
  }

  async create(ref: string, name: string, options: CallOptions = {}): Promise<CheckpointInfo & MachineCopyReport> {
    throwIfAborted(options.signal, "making the checkpoint");
    const { state } = this.#context;
    const source = this.#findRunning(ref);
    const row = this.#begin(source, name);
    options.onProgress?.({ stage: "copy", message: "copying the machine" });
    try {
      mkdirSync(row.directory, { recursive: true, mode: 0o700 });
      const files = savedFiles(row.directory);
      const { saved, layerId, answer } = await saveMachine(this.#context, source, {
        ...{ files, durable: true, volumes: "refuse", signal: options.signal },
      });
      state.disks.change(() => state.disks.checkpoints.hold(row.id, layerId));
      await writeDurably(files.recordPath, JSON.stringify(saved), 0o600);
      await syncPath(path.dirname(row.directory));
      state.disks.change(() => state.disks.checkpoints.ready(row.id, layerId, row.spec));
      return { ...(await this.get(row.id)), pausedMs: answer.pausedMs };
    } catch (error) {
      await this.#discard(row);
      throw error;
    }
  }

  async list(options: CallOptions = {}): Promise<CheckpointInfo[]> {
    throwIfAborted(options.signal, "listing the checkpoints");
    return Promise.all(this.#ready.map(async (row) => this.#infoOf(row)));
  }

  async get(ref: string, options: CallOptions = {}): Promise<CheckpointInfo> {
    throwIfAborted(options.signal, "looking for the checkpoint");
    const row = this.#find(ref);
    const saved = await openSaved(savedFiles(row.directory), row.name).catch(() => undefined);
    return {
      ...(await this.#infoOf(row)),
      faults: await checkpointFaults(this.#context, row),
      ...(saved === undefined ? {} : { secrets: saved.egress.secrets }),
    };
  }

  async remove(ref: string, options: CallOptions = {}): Promise<CheckpointInfo> {
    throwIfAborted(options.signal, "removing the checkpoint");
    const row = this.#find(ref);
    const info = await this.#infoOf(row);
    await this.#discard(row);
    return info;
  }

  /** What a sandbox starts from. @throws SbxError `checkpoint_not_found`, `checkpoint_broken` */
  async open(ref: string): Promise<CopyOrigin> {
    const { name, directory, layer } = this.#find(ref);
    const files = savedFiles(directory);
    const saved = await openSaved(files, name);
    if (layer === null) throw new SbxError("checkpoint_broken", `checkpoint ${name} has no disk`);
    return { name, saved, files, layerId: layer, volumes: [] };
  }

  get #ready(): CheckpointRow[] {
    return this.#context.state.disks.checkpoints.list().filter(({ state }) => state === "ready");
  }

  #find(ref: string): CheckpointRow {
    const rows = this.#ready.map((row) => ({ ...row, slug: row.name }));
    const found = findNamed(rows, ref);
    if (found !== undefined) return found;
    throw new SbxError("checkpoint_not_found", `there is no checkpoint ${JSON.stringify(ref)}`, {
      hint: "sbx checkpoint list",
    });
  }

  #begin(source: SandboxRow, name: string): Pick<CheckpointRow, "id" | "name" | "directory" | "spec"> {
    const { disks, paths } = this.#context.state;
    if (!DISK_NAME.test(name)) {
      throw new SbxError("usage", `${JSON.stringify(name)} cannot be the name of a checkpoint`, {
        hint: DISK_NAME_RULE,
      });
    }
    const id = newCheckpointId();
    const { imageId, memoryBytes, cpus, diskBytes } = source.spec;
    const summary = { source: { id: source.id, name: source.name }, imageId, memoryBytes, cpus, diskBytes };
    const row = { id, name, directory: path.join(checkpointsPath(paths), id), spec: JSON.stringify(summary) };
    disks.change(() => {
      if (disks.checkpoints.list().some((other) => other.name === name)) {
        throw new SbxError("name_in_use", `there is a checkpoint ${name} already`, {
          hint: `choose another name, or remove that one: sbx checkpoint remove ${name}`,
        });
      }
      disks.checkpoints.begin(row, Date.now());
    });
    return row;
  }

  async #discard({ id, directory }: Pick<CheckpointRow, "id" | "directory">): Promise<void> {
    const { state } = this.#context;
    state.disks.change(() => state.disks.checkpoints.doom(id), { frees: true });
    rmSync(directory, { recursive: true, force: true });
    state.disks.change(() => state.disks.checkpoints.forget(id), { frees: true });
    await collectGarbage(state);
  }

  async #infoOf({ id, name, createdAt, directory, spec }: CheckpointRow): Promise<CheckpointInfo> {
    const { memoryPath, statePath } = savedFiles(directory);
    const sizes = await Promise.all([memoryPath, statePath].map(async (file) => allocatedBytes(file)));
    const allocated = sizes.reduce((sum, bytes) => sum + bytes, 0);
    const summary = summarySchema.parse(JSON.parse(spec));
    return { id, name, region: LOCAL_REGION, createdAt, ...summary, allocatedBytes: allocated, faults: [] };
  }
}

async function allocatedBytes(file: string): Promise<number> {
  return ((await stat(file).catch(() => null))?.blocks ?? 0) * 512;
}
