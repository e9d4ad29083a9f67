/**
 * The runtime of a control plane: the same interface as that of this machine. A server of sbx's own has all that it can
 * do for others; one that has the published API alone is used by that API alone. What cannot be had is `unsupported`.
 */
import type { Duplex } from "node:stream";
import type { AppApi } from "../apps.ts";
import type { CheckpointApi, ForkOptions, ForkReport, ForkSpec } from "../checkpoints.ts";
import type { ClientMachine } from "../client-machine.ts";
import type { SnapshotApi, VolumeApi } from "../disks.ts";
import type { EditorApi } from "../editor.ts";
import type { ExposureApi } from "../exposures.ts";
import type { FolderApi } from "../folders.ts";
import type { MeteringApi } from "../metering.ts";
import type { NetworkApi, SecretApi } from "../network.ts";
import type { CallOptions, CreateOptions, ImageApi, MachineApi, Runtime, Sandbox } from "../runtime.ts";
import type { SshApi } from "../ssh.ts";
import type { PruneReport, SandboxInfo, SandboxSpec, SecretRequest } from "../types.ts";
import type { EventOptions, EventRecord, LogLine, LogOptions, SandboxUsage, UsageOptions } from "../watching.ts";
import { RemoteApps } from "./apps/remote-apps.ts";
import { connectSandbox } from "./connect.ts";
import { ControlClient } from "./control-client.ts";
import { createSandbox } from "./create.ts";
import type { RemoteEndpoint } from "./endpoints.ts";
import { PublishedApi } from "./published-api.ts";
import { RemoteSnapshots } from "./disks/remote-snapshots.ts";
import { RemoteVolumes } from "./disks/remote-volumes.ts";
import { RemoteCheckpoints } from "./remote-checkpoints.ts";
import { RemoteEditor } from "./remote-editor.ts";
import { RemoteExposures } from "./remote-exposures.ts";
import { RemoteFolders } from "./remote-folders.ts";
import { RemoteImages } from "./remote-images.ts";
import { RemoteMetering } from "./remote-metering.ts";
import { RemoteSsh } from "./remote-ssh.ts";
import { RemoteMachine } from "./remote-machine.ts";
import { RemoteNetwork } from "./remote-network.ts";
import { SANDBOX_ID } from "./sandbox-info.ts";
import { unsupported } from "./unsupported.ts";

export type { RemoteEndpoint };

export interface RemoteRuntimeOptions extends RemoteEndpoint {
  machine: ClientMachine;
}

/** Nothing is asked of the server before it is needed: what is wrong with it or the token shows with the first call. */
export async function openRemoteRuntime(options: RemoteRuntimeOptions): Promise<Runtime> {
  return new RemoteRuntime(options);
}

class RemoteRuntime implements Runtime {
  readonly images: ImageApi;
  readonly machine: MachineApi;
  readonly network: NetworkApi;
  readonly secrets: SecretApi;
  readonly folders: FolderApi;
  readonly exposures: ExposureApi;
  readonly editor: EditorApi;
  readonly snapshots: SnapshotApi;
  readonly volumes: VolumeApi;
  readonly checkpoints: CheckpointApi;
  readonly ssh: SshApi;
  readonly apps: AppApi;
  readonly metering: MeteringApi;
  readonly #client: ControlClient;
  readonly #published: PublishedApi;
  readonly #machine: ClientMachine;

  constructor(options: RemoteRuntimeOptions) {
    this.#client = new ControlClient(options);
    this.#published = new PublishedApi(this.#client);
    this.#machine = options.machine;
    this.images = new RemoteImages(this.#client);
    this.checkpoints = new RemoteCheckpoints(this.#client);
    this.exposures = new RemoteExposures(this.#client);
    this.machine = new RemoteMachine(this.#client);
    this.network = new RemoteNetwork(this.#client);
    this.secrets = options.machine.secrets;
    this.folders = new RemoteFolders({
      ...{ machine: options.machine, server: this.#client.endpoints.name },
      get: async (ref, call) => this.get(ref, call),
      connect: async (ref, call) => this.connect(ref, call),
    });
    this.volumes = new RemoteVolumes(this.#client);
    this.snapshots = new RemoteSnapshots(this.#client);
    this.editor = new RemoteEditor(this.#client);
    this.ssh = new RemoteSsh(this.#client, options.machine);
    this.metering = new RemoteMetering(this.#client);
    this.apps = new RemoteApps(this.#client);
  }

  async create(spec: SandboxSpec, options: CreateOptions = {}): Promise<Sandbox> {
    const context = {
      ...{ client: this.#client, machine: this.#machine },
      remove: async (id: string) => this.remove(id),
      get: async (id: string) => this.get(id),
      secretsOfCheckpoint: async (ref: string, given: CreateOptions) =>
        this.#valuesOf((await this.checkpoints.get(ref, given)).secrets ?? [], given),
    };
    return createSandbox(context, spec, options);
  }

  async connect(ref: string, options: CallOptions = {}): Promise<Sandbox> {
    if (SANDBOX_ID.test(ref)) return connectSandbox(this.#client, ref, { ...options, machine: this.#machine });
    const info = await this.get(ref, options);
    return connectSandbox(this.#client, info.id, { ...options, machine: this.#machine }, info);
  }

  async openRpc(): Promise<Duplex> {
    throw unsupported("a control plane does not stand in front of another one");
  }

  async get(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.get(ref, options);
    return this.#client.call("sandbox.get", { ref }, options);
  }

  async list(options: CallOptions & { labels?: Record<string, string> } = {}): Promise<SandboxInfo[]> {
    const { labels } = options;
    if (await this.#isPublishedOnly(options)) return this.#published.list(labels ?? {}, options);
    return this.#client.call("sandbox.list", labels === undefined ? {} : { labels }, options);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    if (await this.#isPublishedOnly(options)) return this.#published.remove(ref, options);
    return this.#client.call("sandbox.remove", { ref }, options);
  }

  async extend(ref: string, ms: number, options: CallOptions = {}): Promise<number> {
    if (await this.#isPublishedOnly(options)) return this.#published.extend(ref, ms, options);
    return (await this.#client.call("sandbox.extend", { ref, ms }, options)).expiresAt;
  }

  async fork(ref: string, spec: ForkSpec, options: ForkOptions = {}): Promise<ForkReport> {
    const { secrets } = await this.network.show(ref, options);
    const secretValues = await this.#valuesOf(secrets, options);
    return this.#client.call("sandbox.fork", { ref, ...spec, secretValues }, options);
  }

  async pause(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return this.#client.call("sandbox.pause", { ref }, options);
  }

  async resume(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return this.#client.call("sandbox.resume", { ref }, options);
  }

  async *logs(ref: string, options: LogOptions = {}): AsyncIterable<LogLine> {
    const { signal, onProgress: _none, sources, ...rest } = options;
    const params = { ref, ...rest, ...(sources === undefined ? {} : { sources: [...sources] }) };
    for await (const { process, ...line } of this.#client.items("sandbox.logs", params, given(signal))) {
      yield process === undefined ? line : { ...line, process };
    }
  }

  async *events(options: EventOptions = {}): AsyncIterable<EventRecord> {
    const { signal, onProgress: _none, types, ...rest } = options;
    const params = { ...rest, ...(types === undefined ? {} : { types: [...types] }) };
    yield* this.#client.items("event.list", params, given(signal));
  }

  async usage({ sandbox, processes, ...options }: UsageOptions = {}): Promise<SandboxUsage[]> {
    const params = { ...(sandbox === undefined ? {} : { sandbox }), ...(processes === undefined ? {} : { processes }) };
    return this.#client.call("usage.list", params, options);
  }

  async prune(
    options: CallOptions & { dryRun?: boolean; images?: boolean; volumes?: boolean } = {},
  ): Promise<PruneReport> {
    const { dryRun = false, images = false, volumes = false } = options;
    if (images) throw unsupported("images of a server are its operator's to remove", "leave --images out");
    if (volumes) throw unsupported("removed volumes of a server go by themselves, after a day", "leave --volumes out");
    return this.#client.call("prune.run", { dryRun }, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client[Symbol.dispose]();
  }

  /** The server has forgotten them: whoever makes a copy gives them again. */
  async #valuesOf(secrets: readonly SecretRequest[], options: ForkOptions): Promise<Record<string, string>> {
    const requests = secrets.map(({ name, hosts }) => ({ name, hosts }));
    const granted = await this.#machine.grantSecrets(requests, options);
    return Object.fromEntries(granted.map(({ name, value }) => [name, value]));
  }

  async #isPublishedOnly(options: CallOptions): Promise<boolean> {
    return (await this.#client.about(options)) === undefined;
  }
}

function given(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}
