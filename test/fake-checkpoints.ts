/** Checkpoints of the Runtime in memory, for tests of the command line. */
import type { CheckpointApi, CheckpointInfo, MachineCopyReport } from "../src/runtime/checkpoints.ts";
import { SbxError } from "../src/runtime/errors.ts";

export function checkpointInfo(overrides: Partial<CheckpointInfo> = {}): CheckpointInfo {
  return {
    id: "chk_loc_0123456789abcdefghjk",
    name: "warm",
    region: "loc",
    createdAt: 1_700_000_000_000,
    source: { id: "sbx_loc_0123456789abcdefghjk", name: "web" },
    imageId: "a".repeat(64),
    memoryBytes: 1280 * 1024 ** 2,
    cpus: 2,
    diskBytes: 10_000_000_000,
    allocatedBytes: 300_000_000,
    faults: [],
    ...overrides,
  };
}

export class FakeCheckpoints implements CheckpointApi {
  checkpoints: CheckpointInfo[] = [];
  readonly #record: (method: string, ...args: unknown[]) => void;

  constructor(record: (method: string, ...args: unknown[]) => void) {
    this.#record = record;
  }

  async create(sandbox: string, name: string): Promise<CheckpointInfo & MachineCopyReport> {
    this.#record("checkpoints.create", sandbox, name);
    const info = checkpointInfo({ name, source: { id: "sbx_loc_0123456789abcdefghjk", name: sandbox } });
    this.checkpoints.unshift(info);
    return { ...info, pausedMs: 41.7 };
  }

  async list(): Promise<CheckpointInfo[]> {
    this.#record("checkpoints.list");
    return this.checkpoints;
  }

  async get(ref: string): Promise<CheckpointInfo> {
    this.#record("checkpoints.get", ref);
    return this.#find(ref);
  }

  async remove(ref: string): Promise<CheckpointInfo> {
    this.#record("checkpoints.remove", ref);
    const info = this.#find(ref);
    this.checkpoints = this.checkpoints.filter((other) => other !== info);
    return info;
  }

  #find(ref: string): CheckpointInfo {
    const found = this.checkpoints.find(({ id, name }) => id === ref || name === ref);
    if (found !== undefined) return found;
    throw new SbxError("checkpoint_not_found", `there is no checkpoint ${JSON.stringify(ref)}`, {
      hint: "sbx checkpoint list",
    });
  }
}
