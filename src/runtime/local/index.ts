/** The local embedded runtime: sandboxes on this machine, without a daemon. */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "../../host/process-identity.ts";
import type { SandboxRow } from "../../store/sandbox-store.ts";
import { isLive } from "../../store/lifecycle.ts";
import type { SecretVault } from "../../store/secrets/vault.ts";
import { throwIfAborted } from "../abort.ts";
import type { Settings } from "../defaults.ts";
import type { FolderLaunch } from "../../protocol/folder-launch.ts";
import { connectTarget } from "../../protocol/sandbox-target.ts";
import type { AppApi, AppDoor } from "../apps.ts";
import type { CheckpointApi, ForkOptions, ForkReport, ForkSpec } from "../checkpoints.ts";
import { SbxError } from "../errors.ts";
import type { SnapshotApi, VolumeApi } from "../disks.ts";
import type { DomainApi } from "../domains.ts";
import type { ExposureApi } from "../exposures.ts";
import type { EditorApi } from "../editor.ts";
import type { FolderApi } from "../folders.ts";
import type { MeteringApi } from "../metering.ts";
import type { NetworkApi, SecretApi } from "../network.ts";
import type { OrganisationRuntime } from "../organisations.ts";
import type { CallOptions, CreateOptions, ImageApi, MachineApi, Sandbox } from "../runtime.ts";
import type { RpcHandshake } from "../rpc-door.ts";
import { openRpcSandbox, RpcSandbox, type RpcSandboxOptions } from "../sandbox/rpc-sandbox.ts";
import type { PruneReport, SandboxInfo, SandboxSpec } from "../types.ts";
import type { EventOptions, EventRecord, LogLine, LogOptions, SandboxUsage, UsageOptions } from "../watching.ts";
import { recordStaging } from "./abandoned-copies.ts";
import { LazyApps } from "./apps/lazy-apps.ts";
import type { OpenApps } from "./apps/open-apps.ts";
import { createFromCheckpoint } from "./copies/create-from-checkpoint.ts";
import { forkSandbox } from "./copies/fork.ts";
import { LocalCheckpoints } from "./copies/local-checkpoints.ts";
import { pauseMachine, resumeMachine } from "./copies/machine-calls.ts";
import { createSandbox } from "./create.ts";
import { disksOf } from "./disks/disks-of-sandbox.ts";
import { imageUsers, type ImageUser } from "./disks/image-users.ts";
import { LocalSnapshots } from "./disks/local-snapshots.ts";
import { LocalVolumes } from "./disks/local-volumes.ts";
import { LocalEditor } from "./editor/local-editor.ts";
import { LocalDomains } from "./local-domains.ts";
import { LocalExposures } from "./local-exposures.ts";
import { LocalFolders } from "./folders/local-folders.ts";
import type { FolderPlan } from "./folders/plan-folders.ts";
import { LocalImages } from "./images.ts";
import { LocalMetering } from "./metering/local-metering.ts";
import { LocalMachine } from "./machine.ts";
import { usersElsewhere } from "./organisations/image-pins.ts";
import { LocalNetwork } from "./network/local-network.ts";
import type { StatePaths } from "./paths.ts";
import { prune } from "./prune.ts";
import { reclaim, reconcile, refresh } from "./reconcile.ts";
import { findSandbox, LOCAL_REGION } from "./sandbox-id.ts";
import { LocalSecrets, openVault } from "./secrets/local-secrets.ts";
import type { CreateContext } from "./start-sandbox.ts";
import type { SshApi } from "../ssh.ts";
import { forgetHosts, LocalSsh } from "./ssh/local-ssh.ts";
import { openState, type LocalState } from "./state.ts";
import { requestExtension, requestStop } from "./supervisor-client.ts";
import { DeathWatch } from "./watch/death-watch.ts";
import { noteEvents } from "./watch/note-events.ts";
import { readLogs } from "./watch/sandbox-logs.ts";

/** A supervisor takes its machine down in a fraction of a second; after this it is taken down without it, `ms`. */
const STOP_TIMEOUT_MS = 10_000;
const EXTEND_TIMEOUT_MS = 10_000;

/** @throws SbxError `state_newer`, `state_broken`, `config_invalid`, `disk_full` */
export async function openLocalRuntime(settings: Settings, paths?: StatePaths): Promise<OrganisationRuntime> {
  return new LocalRuntime(settings, await openState(process.env, paths));
}

class LocalRuntime implements OrganisationRuntime {
  readonly images: ImageApi;
  readonly machine: MachineApi;
  readonly network: NetworkApi;
  readonly secrets: SecretApi;
  readonly folders: FolderApi;
  readonly exposures: ExposureApi;
  readonly domains: DomainApi;
  readonly editor: EditorApi;
  readonly snapshots: SnapshotApi;
  readonly volumes: VolumeApi;
  readonly checkpoints: CheckpointApi;
  readonly ssh: SshApi;
  readonly metering: MeteringApi;
  readonly apps: AppApi;
  readonly appDoor: AppDoor;
  readonly #apps: LazyApps;
  readonly #checkpoints: LocalCheckpoints;
  readonly #settings: Settings;
  readonly #state: LocalState;
  readonly #images: LocalImages;
  readonly #vault: SecretVault;
  /** For those who keep a runtime open and look again and again. */
  readonly #deaths: DeathWatch;

  constructor(settings: Settings, state: LocalState) {
    this.#settings = settings;
    this.#state = state;
    this.#deaths = new DeathWatch(state);
    this.#images = new LocalImages({
      dataPath: state.paths.imageDataPath,
      usedBy: async (imageId) => this.#usersOf(imageId),
      defaultImage: settings.image,
    });
    this.images = this.#images;
    this.#vault = openVault(state);
    this.machine = new LocalMachine({ state, images: this.#images, settings, vault: this.#vault });
    this.network = new LocalNetwork({
      find: (ref) => this.#find(ref),
      findRunning: (ref) => this.#findRunning(ref),
      get: (id) => state.store.get(id),
    });
    this.secrets = new LocalSecrets(state, this.#vault);
    this.folders = new LocalFolders({
      find: (ref) => this.#find(ref),
      findRunning: (ref) => this.#findRunning(ref),
      connect: (ref, options) => this.connect(ref, options),
      onStaging: (stagingPath) => recordStaging(this.#state.staging, stagingPath),
    });
    this.exposures = new LocalExposures((ref) => this.#findRunning(ref));
    this.domains = new LocalDomains((ref) => this.#findRunning(ref));
    const context = { state, images: this.#images };
    const findRunning = (ref: string): SandboxRow => this.#findRunning(ref);
    this.volumes = new LocalVolumes({ context, findRunning, defaultBytes: settings.diskBytes });
    this.snapshots = new LocalSnapshots({ context, findRunning, volumes: this.volumes });
    this.#checkpoints = new LocalCheckpoints({ context, findRunning });
    this.checkpoints = this.#checkpoints;
    this.editor = new LocalEditor({ context, findRunning, runtime: this });
    this.metering = new LocalMetering(state);
    this.ssh = new LocalSsh({ state, findReady: (ref) => this.#findReady(ref) });
    this.#apps = new LazyApps(async () => this.#openApps());
    this.apps = this.#apps;
    this.appDoor = this.#apps;
  }

  async create(spec: SandboxSpec, options: CreateOptions = {}): Promise<Sandbox> {
    const plan = await planSpecFolders(spec, this.#state.paths);
    for (const notice of plan?.notices ?? []) options.onNotice?.(notice);
    const context = this.#createContext;
    const make = async (folders?: FolderLaunch): Promise<Sandbox> => {
      const { checkpoint } = spec;
      const given = { ...context, ...(folders && { folders }) };
      if (checkpoint === undefined) return createSandbox(given, spec, options);
      return createFromCheckpoint(given, await this.#checkpoints.open(checkpoint), spec, options);
    };
    if (plan === undefined) return make();
    const sandbox = await make(plan.launch);
    try {
      const { makeInitialCopies } = await import("./folders/initial-copies.ts");
      await makeInitialCopies(sandbox, plan.copies, this.#find(sandbox.id).directory, options);
      return sandbox;
    } catch (error) {
      await sandbox[Symbol.asyncDispose]();
      await this.remove(sandbox.id);
      throw error;
    }
  }

  async fork(ref: string, spec: ForkSpec, options: ForkOptions = {}): Promise<ForkReport> {
    throwIfAborted(options.signal, "copying the sandbox");
    const source = this.#findRunning(ref);
    const report = await forkSandbox(this.#createContext, source, spec, options);
    const copies = report.sandboxes.map(({ id }) => id);
    noteEvents(this.#state, [{ type: "sandbox.forked", sandbox: source, detail: { copies } }]);
    return report;
  }

  async connect(ref: string, options: CallOptions = {}): Promise<Sandbox> {
    const row = this.#findReady(ref);
    return openRpcSandbox({
      socketPath: row.socket,
      requestPath: connectTarget(row.id),
      ...this.#staging,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  }

  async openRpc(ref: string, handshake: RpcHandshake, { signal }: CallOptions = {}): Promise<Duplex> {
    const { id, socket: socketPath } = this.#findReady(ref);
    const { openRpcDoor } = await import("./rpc-door.ts");
    return openRpcDoor({ socketPath, id, handshake, signal });
  }

  async get(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    throwIfAborted(options.signal, "looking for the sandbox");
    const row = refresh(this.#state.store, this.#find(ref), Date.now());
    return { ...toInfo(row), disks: disksOf(this.#state.disks, row.id) };
  }

  async list(options: CallOptions & { labels?: Record<string, string> } = {}): Promise<SandboxInfo[]> {
    throwIfAborted(options.signal, "listing the sandboxes");
    await this.#deaths.look();
    const wanted = Object.entries(options.labels ?? {});
    const rows = this.#state.store.list();
    return rows.filter(({ spec }) => wanted.every(([key, value]) => spec.labels[key] === value)).map(toInfo);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    throwIfAborted(options.signal, "removing the sandbox");
    const row = this.#find(ref);
    if (isLive(row.status)) await this.#stop(row);
    await forgetHosts(this.#state, row.id);
    return toInfo(this.#state.store.get(row.id) ?? row);
  }

  async pause(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return pauseMachine({ socketPath: this.#findRunning(ref).socket, signal: options.signal });
  }

  async resume(ref: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return resumeMachine({ socketPath: this.#findRunning(ref).socket, signal: options.signal });
  }

  async extend(ref: string, ms: number, options: CallOptions = {}): Promise<number> {
    throwIfAborted(options.signal, "extending the sandbox");
    const row = this.#findRunning(ref);
    return requestExtension(row.socket, row.id, Date.now() + ms, EXTEND_TIMEOUT_MS);
  }

  logs(ref: string, options: LogOptions = {}): AsyncIterable<LogLine> {
    const { id, directory } = this.#find(ref);
    const isOver = async (): Promise<boolean> => {
      await this.#deaths.look();
      return !isLive(this.#state.store.get(id)?.status ?? "stopped");
    };
    return readLogs(directory, { ...options, isOver });
  }

  async *events(options: EventOptions = {}): AsyncIterable<EventRecord> {
    const { readEvents } = await import("./watch/local-events.ts");
    yield* readEvents(this.#state, options);
  }

  async usage({ sandbox, processes = 0, ...options }: UsageOptions = {}): Promise<SandboxUsage[]> {
    throwIfAborted(options.signal, "measuring the sandboxes");
    const running = (): SandboxRow[] => this.#state.store.list().filter(({ status }) => status === "running");
    const rows = sandbox === undefined ? running() : [this.#findRunning(sandbox)];
    const { measureAll } = await import("./watch/local-usage.ts");
    return measureAll(rows, processes, options);
  }

  async prune(
    options: CallOptions & { dryRun?: boolean; images?: boolean; volumes?: boolean } = {},
  ): Promise<PruneReport> {
    return prune({ state: this.#state, images: this.#images }, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#apps[Symbol.asyncDispose]();
    this.#state[Symbol.dispose]();
  }

  async #openApps(): Promise<OpenApps> {
    const [{ openLocalApps }, { WarmMachines }] = await Promise.all([
      import("./apps/local-state.ts"),
      import("./copies/warm-machines.ts"),
    ]);
    const findRunning = (ref: string): SandboxRow => this.#findRunning(ref);
    return openLocalApps(this.#state, this, new WarmMachines({ context: () => this.#createContext, findRunning }));
  }

  get #createContext(): CreateContext {
    const open: CreateContext["open"] = (client, info, more) =>
      new RpcSandbox({ client, info, ...more, ...this.#staging });
    return { state: this.#state, images: this.#images, settings: this.#settings, vault: this.#vault, open };
  }

  get #staging(): Pick<RpcSandboxOptions, "onStaging"> {
    return { onStaging: (stagingPath) => recordStaging(this.#state.staging, stagingPath) };
  }

  #find(ref: string): SandboxRow {
    const { store } = this.#state;
    // By its whole id, which is what programs know, one row has to be read; names are looked for among all.
    return store.get(ref) ?? findSandbox(store.list(), ref);
  }

  #findRunning(ref: string): SandboxRow {
    const row = this.#find(ref);
    if (row.status !== "running") throw notRunning(row);
    return row;
  }

  #findReady(ref: string): SandboxRow {
    const row = this.#findRunning(ref);
    if (row.isPaused) throw isPaused(row);
    return row;
  }

  /** Sandboxes, and the disks that would be broken without the image. */
  #usersOf(imageId: string): ImageUser[] {
    const rows = this.#state.store.listLive().filter(({ spec }) => spec.imageId === imageId);
    const sandboxes = rows.map(({ id, name }) => ({ kind: "sandbox" as const, name: name ?? id }));
    return [...sandboxes, ...imageUsers(this.#state.disks, imageId), ...usersElsewhere(this.#state.paths, imageId)];
  }

  /** Asks the supervisor first; takes the sandbox down without it if it does not answer. */
  async #stop(row: SandboxRow): Promise<void> {
    const { store } = this.#state;
    // A start that is under way ends at its next step.
    if (row.status === "creating") store.transition(row.id, "stopping", { reason: "killed" });
    await untilGone(() => !hasSupervisor(store.get(row.id)), STOP_TIMEOUT_MS / 5);
    const supervisor = store.get(row.id)?.supervisor ?? null;
    if (supervisor !== null) {
      await requestStop(row.socket, row.id, STOP_TIMEOUT_MS).catch(() => undefined);
      await untilGone(() => isAlive(supervisor), STOP_TIMEOUT_MS / 5);
      if (isAlive(supervisor)) {
        killProcess(supervisor.pid);
        await untilGone(() => isAlive(supervisor), STOP_TIMEOUT_MS);
      }
      if (isLive(store.get(row.id)?.status ?? "stopped")) {
        reclaim(store, store.get(row.id) ?? row);
        store.transition(row.id, "stopped", { stoppedAt: Date.now(), reason: "killed", vmPid: null });
      }
    }
    reconcile(store, Date.now());
  }
}

/** What the sandbox is to have of this machine; undefined for nothing, which costs nothing. */
async function planSpecFolders(spec: SandboxSpec, paths: StatePaths): Promise<FolderPlan | undefined> {
  if ((spec.copies?.length ?? 0) + (spec.mounts?.length ?? 0) === 0) return undefined;
  const { planFolders } = await import("./folders/plan-folders.ts");
  return planFolders(spec, paths);
}

/** Also true when there is nothing to wait for. */
function hasSupervisor(row: SandboxRow | undefined): boolean {
  return row === undefined || !isLive(row.status) || row.supervisor !== null || !isAlive(row.creator);
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // ESRCH: it ended in this moment.
  }
}

async function untilGone(isThere: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (isThere() && performance.now() < deadline) await sleep(5);
}

function notRunning(row: SandboxRow): SbxError {
  const title = row.name ?? row.id;
  if (row.status === "creating")
    return new SbxError("sandbox_stopped", `sandbox ${title} is not ready yet`, { hint: "sbx list" });
  const why = row.reason === null ? row.status : row.reason.replaceAll("_", " ");
  return new SbxError("sandbox_stopped", `sandbox ${title} is not running any more: ${why}`, { hint: "sbx create" });
}

function isPaused({ name, id }: SandboxRow): SbxError {
  const title = name ?? id;
  return new SbxError("sandbox_paused", `sandbox ${title} is paused`, { hint: `sbx resume ${title}` });
}

function toInfo(row: SandboxRow): SandboxInfo {
  const { spec } = row;
  return {
    id: row.id,
    name: row.name,
    status: row.status === "running" && row.isPaused ? "paused" : row.status,
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    stoppedAt: row.stoppedAt,
    expiresAt: row.expiresAt,
    reason: row.reason,
    detail: row.detail,
    image: { id: spec.imageId, name: spec.imageName },
    memoryBytes: spec.memoryBytes,
    cpus: spec.cpus,
    diskBytes: spec.diskBytes,
    labels: { ...spec.labels },
    region: LOCAL_REGION,
    supervisorPid: isLive(row.status) ? (row.supervisor?.pid ?? null) : null,
    vmPid: row.vmPid,
    accelerator: spec.accelerator,
  };
}
