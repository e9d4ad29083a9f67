/** Directories of this machine that sandboxes on a server were given copies of. Nothing is mounted there. */
import type { ClientMachine, CopiedSandbox } from "../client-machine.ts";
import type {
  ApplyOptions,
  ApplyReport,
  Change,
  ChangeTexts,
  Comparison,
  CopyInfo,
  FolderApi,
  MountInfo,
} from "../folders.ts";
import type { CallOptions, Sandbox } from "../runtime.ts";
import type { SandboxInfo } from "../types.ts";

export interface RemoteFoldersOptions {
  machine: ClientMachine;
  /** What the server is called. */
  server: string;
  get: (ref: string, options: CallOptions) => Promise<SandboxInfo>;
  connect: (ref: string, options: CallOptions) => Promise<Sandbox>;
}

export class RemoteFolders implements FolderApi {
  readonly #options: RemoteFoldersOptions;

  constructor(options: RemoteFoldersOptions) {
    this.#options = options;
  }

  async mounts(): Promise<MountInfo[]> {
    return [];
  }

  async copies(ref: string, options: CallOptions = {}): Promise<CopyInfo[]> {
    return this.#options.machine.copies.list(await this.#find(ref, options));
  }

  async compare(ref: string, options: CallOptions & { hostPath?: string } = {}): Promise<Comparison> {
    const { machine, connect } = this.#options;
    const sandbox = await this.#find(ref, options);
    using unused = new DisposableStack();
    const staging = unused.use(await machine.openStaging());
    const comparison = await machine.copies.compare(sandbox, {
      ...options,
      connect: async (call) => connect(sandbox.id, call),
      onStaging: (path) => staging.record(path),
    });
    return new StagedComparison(comparison, unused.move());
  }

  async #find(ref: string, options: CallOptions): Promise<CopiedSandbox> {
    const { id, name } = await this.#options.get(ref, options);
    return { server: this.#options.server, id, name };
  }
}

/** A comparison with the records that it needs for as long as it lasts. */
class StagedComparison implements Comparison {
  readonly #comparison: Comparison;
  readonly #records: Disposable;

  constructor(comparison: Comparison, records: Disposable) {
    this.#comparison = comparison;
    this.#records = records;
  }

  get hostPath(): string {
    return this.#comparison.hostPath;
  }

  get guestPath(): string {
    return this.#comparison.guestPath;
  }

  get changes(): Comparison["changes"] {
    return this.#comparison.changes;
  }

  get skipped(): Comparison["skipped"] {
    return this.#comparison.skipped;
  }

  async texts(change: Change): Promise<ChangeTexts> {
    return this.#comparison.texts(change);
  }

  async apply(options: ApplyOptions): Promise<ApplyReport> {
    return this.#comparison.apply(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#comparison[Symbol.asyncDispose]();
    this.#records[Symbol.dispose]();
  }
}
