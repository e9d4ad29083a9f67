/** Machines that a server keeps. */
import type { CheckpointApi, CheckpointInfo, MachineCopyReport } from "../checkpoints.ts";
import type { CallOptions } from "../types.ts";
import type { ControlClient } from "./control-client.ts";

export class RemoteCheckpoints implements CheckpointApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async create(sandbox: string, name: string, options: CallOptions = {}): Promise<CheckpointInfo & MachineCopyReport> {
    return this.#client.call("checkpoint.create", { ref: sandbox, name }, options);
  }

  async list(options: CallOptions = {}): Promise<CheckpointInfo[]> {
    return this.#client.call("checkpoint.list", {}, options);
  }

  async get(ref: string, options: CallOptions = {}): Promise<CheckpointInfo> {
    return this.#client.call("checkpoint.get", { ref }, options);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<CheckpointInfo> {
    return this.#client.call("checkpoint.remove", { ref }, options);
  }
}
