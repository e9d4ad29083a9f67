/** The checkpoints of this machine. */
import { stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import type { CheckpointRow } from "../../../store/disks/checkpoint-store.ts";
import { DISK_NAME, DISK_NAME_RULE, newCheckpointId } from "../../../store/disks/disk-names.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type { CheckpointApi, CheckpointInfo, MachineCopyReport } from "../../checkpoints.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { findNamed } from "../disks/find-disk.ts";
import { LOCAL_REGION } from "../sandbox-id.ts";
import { checkpointFaults } from "./checkpoint-faults.ts";
import { discardCheckpoint, makeCheckpoint, openCheckpoint, type CheckpointPlace } from "./checkpoint-files.ts";
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
    const source = this.#findRunning(ref);
    const row = this.#begin(source, name);
    options.onProgress?.({ stage: "copy", message: "copying the machine" });
    const { pausedMs } = await makeCheckpoint(this.#context, source, row, options.signal);
    return { ...(await this.get(row.id)), pausedMs };
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
    await discardCheckpoint(this.#context, row);
    return info;
  }

  /** What a sandbox starts from. @throws SbxError `checkpoint_not_found`, `checkpoint_broken` */
  async open(ref: string): Promise<CopyOrigin> {
    return openCheckpoint(this.#find(ref));
  }

  get #ready(): CheckpointRow[] {
    return this.#context.state.disks.checkpoints.listNamed().filter(({ state }) => state === "ready");
  }

  #find(ref: string): CheckpointRow {
    const rows = this.#ready.map((row) => ({ ...row, slug: row.name }));
    const found = findNamed(rows, ref);
    if (found !== undefined) return found;
    throw new SbxError("checkpoint_not_found", `there is no checkpoint ${JSON.stringify(ref)}`, {
      hint: "sbx checkpoint list",
    });
  }

  #begin(source: SandboxRow, name: string): CheckpointPlace {
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
