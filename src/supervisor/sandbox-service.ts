/** A running sandbox: serves its socket, watches its machine, and takes all of it down at the end. */
import { rm } from "node:fs/promises";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { WebSocket } from "ws";
import type { Egress } from "../egress/egress.ts";
import type { AgentLink } from "../guest/link.ts";
import { ownIdentity } from "../host/process-identity.ts";
import type { FolderLaunch } from "../protocol/folder-launch.ts";
import { sendFdPath } from "../host/package-root.ts";
import type { HeldVolume } from "../protocol/disk-calls.ts";
import type { SandboxLaunch } from "../protocol/launch.ts";
import type { CopyCall } from "../protocol/machine-calls.ts";
import { NO_PAST } from "../protocol/network-past.ts";
import { SbxError, toErrorRecord } from "../runtime/errors.ts";
import type { SandboxInfo, StopReason } from "../runtime/types.ts";
import { openDatabase } from "../store/database.ts";
import type { RecordedStatus } from "../store/lifecycle.ts";
import { ClaimStore } from "../store/disks/claim-store.ts";
import { VolumeStore } from "../store/disks/volume-store.ts";
import { EventStore } from "../store/events/event-store.ts";
import { SandboxStore } from "../store/sandbox-store.ts";
import { allowDiskSize } from "../vm/file-size-limit.ts";
import { MachineDisks } from "../vm/machine-disks.ts";
import { QemuFiles } from "../vm/qemu-files.ts";
import { layerPath } from "../vm/restore-options.ts";
import { fileSender } from "../vm/send-files.ts";
import { beginRestore, type VirtualMachine } from "../vm/virtual-machine.ts";
import { logLine } from "./capped-log.ts";
import type { GuestDoors, GuestDoorsOptions } from "./expose/guest-doors.ts";
import { HttpDoor } from "./expose/http-door.ts";
import type { SandboxDisks } from "./disks/sandbox-disks.ts";
import { connectAgent, describeExit, giveIdentity, LastWords } from "./guest-boot.ts";
import type { SandboxFolders } from "./folders.ts";
import { HostWatch } from "./host-watch.ts";
import { Lifetime } from "./lifetime.ts";
import { MachineControl } from "./machine-control.ts";
import { SandboxNetwork } from "./network/sandbox-network.ts";
import { KEPT_LOGS, keepOnly } from "./kept-files.ts";
import { createGuestState, type GuestState } from "./rpc/guest-state.ts";
import { serveConnection, type RpcConnection } from "./rpc/connection.ts";
import { openDoor, type Door, type Visitor } from "./socket-server.ts";
import { SshDoor } from "./ssh/ssh-door.ts";
import { Standstill } from "./standstill.ts";
import { SandboxWatch } from "./watch/sandbox-watch.ts";
import { TimedLog } from "./watch/timed-log.ts";
import type { UsageMeter } from "./watch/usage-meter.ts";
import { meterSandbox } from "./metering/meter-sandbox.ts";
import type { SandboxMeter } from "./metering/sandbox-meter.ts";

/** Reasons after which nobody asks for the logs: they go with the rest. */
const ORDERLY: readonly StopReason[] = ["killed", "expired", "session_ended", "guest_shutdown", "budget_exceeded"];
/** Reasons for which the machine is ended, and not those that its end is. */
const STILL_RUNS: readonly StopReason[] = ["killed", "expired", "session_ended", "budget_exceeded"];
/** A session whose owner never connects is over, `ms`. */
const PRIMARY_DEADLINE_MS = 60_000;
/** From the agent's end to the machine's, on a host under load, `ms`. */
const MACHINE_END_MS = 20_000;
const ID_VARIABLE = "SBX_SANDBOX_ID";
const GUEST_USER = "app";
const GUEST_HOME = "/home/app";
const GUEST_PATH = "/home/app/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface ServiceOptions {
  launch: SandboxLaunch;
  vm: VirtualMachine;
  deadlineMs: number;
  /** Gives the start up. */
  signal: AbortSignal;
  /** Called when clients may connect. They are served when the guest has its identity. */
  doorOpen: () => void;
}

export interface SandboxService {
  info(): SandboxInfo;
  /** The command that made it knows it. From now on its own volumes outlive it. */
  keep(): void;
  stop(reason: StopReason, detail?: string): Promise<void>;
  /** Settles when nothing of the sandbox is left. */
  readonly stopped: Promise<void>;
}

/** @throws SbxError when the guest does not come up; everything is taken down again then */
export async function serveSandbox(options: ServiceOptions): Promise<SandboxService> {
  const run = new SandboxRun(options);
  try {
    await run.start(options);
    return run;
  } catch (error) {
    await run.stop("start_failed", toErrorRecord(error).message);
    throw error;
  }
}

class SandboxRun implements SandboxService {
  readonly stopped: Promise<void>;
  readonly #launch: SandboxLaunch;
  readonly #vm: VirtualMachine;
  readonly #words: LastWords;
  readonly #standstill: Standstill;
  readonly #files: QemuFiles;
  readonly #disks: MachineDisks;
  readonly #network: SandboxNetwork;
  readonly #watched: SandboxWatch;
  readonly #ssh: SshDoor;
  readonly #meter: SandboxMeter;
  readonly #connections = new Set<RpcConnection>();
  /** Clients that came while the sandbox was being made. */
  readonly #early: { socket: WebSocket; how: Visitor }[] = [];
  readonly #resolveStopped: () => void;
  #door: Door | undefined;
  #watch: HostWatch | undefined;
  #machine: MachineControl | undefined;
  #volumes: Promise<SandboxDisks> | undefined;
  readonly #http: HttpDoor;
  #doors: Promise<GuestDoors> | undefined;
  #link: AgentLink | undefined;
  #state: GuestState | undefined;
  #folders: SandboxFolders | undefined;
  #lifetime: Lifetime | undefined;
  #primaryTimer: NodeJS.Timeout | undefined;
  #status: RecordedStatus = "creating";
  #startedAt: number | null = null;
  #end: { reason: StopReason; detail: string | null; at: number } | undefined;
  #stopping: Promise<void> | undefined;
  #outOfMemory = false;

  constructor({ launch, vm }: ServiceOptions) {
    this.#launch = launch;
    this.#vm = vm;
    const log = (name: string): TimedLog => new TimedLog(path.join(launch.directory, name));
    this.#words = new LastWords(vm, { console: log("console.log"), vm: log("vm.log") });
    this.#standstill = new Standstill(vm.qmp);
    this.#files = new QemuFiles(vm.qmp, fileSender(sendFdPath()));
    const rootTop = launch.rootLayers.at(-1) ?? { path: layerPath(launch.directory), format: "qcow2" };
    this.#disks = new MachineDisks({ qmp: vm.qmp, files: this.#files, rootTop, rootWrites: launch.rootWrites });
    this.#watched = new SandboxWatch({
      ...{ sandbox: { id: launch.id, name: launch.name }, directory: launch.directory },
      write: (events) => this.#record((_, database) => new EventStore(database).append(events)),
    });
    const past = launch.past ?? NO_PAST;
    const onSecrets = this.#watched.secretsSet;
    this.#network = new SandboxNetwork({ launch, past, link: vm.networkLink, log: (m) => this.#log(m), onSecrets });
    const running = (): GuestState | undefined => (this.#status === "running" ? this.#state : undefined);
    this.#ssh = new SshDoor({ id: launch.id, state: running });
    const domains = async (): Promise<GuestDoors["domains"]> => (await this.#requireDoors()).domains;
    this.#http = new HttpDoor({ domains, isPaused: () => this.#standstill.any });
    this.#meter = meterSandbox({
      ...{ launch, vm, traffic: () => this.#network.counters, log: (m) => this.#log(m) },
      hasVolumes: () => this.#volumes !== undefined || launch.rootWrites === "kept",
      onExcess: (detail) => void this.stop("budget_exceeded", detail),
    });
    ({ promise: this.stopped, resolve: this.#resolveStopped } = Promise.withResolvers<void>());
  }

  async start({ deadlineMs, signal, doorOpen }: ServiceOptions): Promise<void> {
    const { launch } = this;
    this.#claim((store) => store.amend(launch.id, { supervisor: ownIdentity(), vmPid: this.#vm.pid }));
    this.#meter.start();
    void this.#vm.exited.then(({ code, signal }) => this.#machineEnded(code, signal));
    this.#door = await openDoor({
      id: launch.id,
      socketPath: launch.socketPath,
      info: () => this.info(),
      stop: (reason) => this.stop(reason),
      extendTo: (stopAtMs) => this.#extendTo(stopAtMs),
      connected: (socket, how) => this.#connected(socket, how),
      ssh: (...upgrade) => this.#ssh.upgrade(...upgrade),
      http: (...upgrade) => this.#http.upgrade(...upgrade),
      network: this.#network,
      machine: () => this.#requireMachine(),
      disks: async () => this.#requireDisks(),
      exposures: async () => (await this.#requireDoors()).exposures,
      domains: async () => (await this.#requireDoors()).domains,
      usage: async () => this.#requireMeter(),
      folders: () => this.#folders?.views ?? [],
    });
    doorOpen();
    const network = this.#network.isAwaited ? this.#network.open(signal) : undefined;
    // Whatever else fails first is the reason then.
    network?.catch(() => undefined);
    if (launch.held !== undefined) await this.#restoreWith(launch.held);
    const link = await connectAgent(this.#vm, this.#words, deadlineMs, {
      signal,
      greeted: launch.prestarted,
    });
    this.#link = link;
    const identity = giveIdentity(link, launch.hostname);
    link.onEvent((event) => {
      if (event.event === "oom") this.#outOfMemory = true;
    });
    void link.closed.then((error) => this.#linkEnded(error));
    this.#state = this.#createState(link);
    const standstill = this.#standstill;
    const directories = async (): Promise<string[]> => [
      rootDirectory(launch),
      ...((await this.#volumes)?.directories ?? []),
    ];
    this.#watch = new HostWatch({ vm: this.#vm, standstill, link, directories, log: (m) => this.#log(m) });
    this.#machine = this.#controlMachine(link, this.#state);
    await identity;
    // A volume may have grown since it was used last; a template's disk has its size already.
    if (launch.start.kind === "boot") await link.call("grow", { path: "/", bytes: 0 });
    if (launch.held !== undefined) (await (this.#volumes ??= this.#openDisks(link))).adopt(launch.held);
    if (launch.volumes.length > 0) await this.#attachVolumes(link);
    if (launch.folders !== undefined) await this.#openFolders(launch.folders, link, signal);
    if (network !== undefined) await this.#introduce(await network, link, this.#state);
    signal.throwIfAborted();
    this.#begin();
    if (network === undefined) {
      const state = this.#state;
      this.#network.openWhenUsed(async (egress) => this.#introduce(egress, link, state));
    }
  }

  get launch(): SandboxLaunch {
    return this.#launch;
  }

  keep(): void {
    const { held = [] } = this.#launch;
    if (held.length === 0) return;
    this.#record((_, database) => held.forEach(({ id }) => new VolumeStore(database).ready(id)));
  }

  info(): SandboxInfo {
    const { id, name, createdAt, spec, machine } = this.#launch;
    return {
      id,
      name,
      status: this.#status === "running" && this.#standstill.has("user") ? "paused" : this.#status,
      createdAt,
      startedAt: this.#startedAt,
      stoppedAt: this.#end?.at ?? null,
      expiresAt: this.#lifetime?.expiresAt ?? null,
      reason: this.#end?.reason ?? null,
      detail: this.#end?.detail ?? (this.#watch?.diskFull === true ? "paused: the host's disk is full" : null),
      image: { id: spec.imageId, name: spec.imageName },
      memoryBytes: spec.memoryBytes,
      cpus: spec.cpus,
      diskBytes: spec.diskBytes,
      labels: spec.labels,
      region: "loc",
      supervisorPid: process.pid,
      vmPid: this.#vm.pid,
      accelerator: machine.accelerator.name,
    };
  }

  stop(reason: StopReason, detail: string | null = null): Promise<void> {
    this.#stopping ??= this.#takeDown(reason, detail);
    return this.#stopping;
  }

  #createState(link: AgentLink): GuestState {
    const env = {
      PATH: GUEST_PATH,
      HOME: GUEST_HOME,
      USER: GUEST_USER,
      LOGNAME: GUEST_USER,
      SHELL: "/bin/bash",
      LANG: "C.UTF-8",
      [ID_VARIABLE]: this.#launch.id,
      ...this.#launch.env,
    };
    return createGuestState({
      ...{ link, user: GUEST_USER, home: GUEST_HOME, env },
      info: () => this.info(),
      trustedCertificates: () => this.#network.trustedCertificates,
      ...{ onProcess: this.#watched.processStarted, keepOutput: this.#watched.keepOutput },
      editor: { open: async (galleryUrl) => this.#openEditor(galleryUrl) },
      bindDomain: async (domain, target) => (await this.#requireDoors()).domains.bind(domain, target),
    });
  }

  async #openFolders(folders: FolderLaunch, link: AgentLink, signal: AbortSignal): Promise<void> {
    const { SandboxFolders } = await import("./folders.ts");
    this.#folders = new SandboxFolders();
    await this.#folders.open(folders, { link, signal, user: GUEST_USER, log: (m) => this.#log(m) });
  }

  #controlMachine(link: AgentLink, state: GuestState): MachineControl {
    const { id, name, machine, diskBytes, qemu } = this.#launch;
    return new MachineControl({
      ...{ ref: name ?? id, vm: this.#vm, link, disks: this.#disks, files: this.#files, standstill: this.#standstill },
      shape: { machine, diskBytes, qemuVersion: qemu.version },
      info: () => this.info(),
      recordPaused: (isPaused) => void this.#record((store) => store.amend(id, { isPaused })),
      memories: () => {
        const { ownVariables, ...memories } = this.#network.memories();
        const own = new Set([...ownVariables, ID_VARIABLE]);
        const variables = Object.entries(state.environment.toObject()).filter(([variable]) => !own.has(variable));
        return { ...memories, environment: Object.fromEntries(variables) };
      },
      obstacle: async (call) => this.#copyObstacle(call),
      volumes: async () => (await this.#volumes)?.places() ?? [],
      goesOn: () => this.#watch?.goesOn(),
    });
  }

  /** Loaded when they are first asked for: most sandboxes have no other disk than their own. */
  async #openDisks(link: AgentLink): Promise<SandboxDisks> {
    const { SandboxDisks } = await import("./disks/sandbox-disks.ts");
    return new SandboxDisks({
      ...{ machine: this.#disks, launch: this.#launch, pid: this.#vm.pid, link, user: GUEST_USER },
      inTurn: async (work) => (this.#machine === undefined ? work() : this.#machine.inTurn(work)),
      stillness: () => {
        if (this.#standstill.has("disk")) return "host's disk is full";
        return this.#standstill.any ? "other" : "none";
      },
      released: (volumeId) => {
        this.#record((_, database) => new ClaimStore(database).releaseVolume(volumeId, this.#launch.id));
      },
    });
  }

  /** Gives a machine that waits to be restored what its guest has mounted, and restores it. */
  async #restoreWith(held: readonly HeldVolume[]): Promise<void> {
    for (const { serial, place, layers, access, capacityBytes } of held) {
      await allowDiskSize(this.#vm.pid, this.#launch.tools, capacityBytes);
      await this.#disks.attach({ serial, layers, access, place });
    }
    beginRestore(this.#vm);
  }

  async #attachVolumes(link: AgentLink): Promise<void> {
    this.#volumes ??= this.#openDisks(link);
    const disks = await this.#volumes;
    for (const volume of this.#launch.volumes) await disks.attach(volume);
  }

  async #requireDisks(): Promise<SandboxDisks> {
    if (this.#link === undefined || this.#status !== "running") {
      throw notRunning();
    }
    this.#volumes ??= this.#openDisks(this.#link);
    return this.#volumes;
  }

  async #requireMeter(): Promise<UsageMeter> {
    if (this.#link === undefined || this.#status !== "running") {
      throw notRunning();
    }
    return this.#watched.meter(this.#link, {
      ...{ vmPid: this.#vm.pid, qmp: this.#vm.qmp, standsStill: () => this.#standstill.any },
      layerPath: () => this.#launch.rootLayers.at(-1)?.path ?? layerPath(this.#launch.directory),
      counters: () => this.#network.counters,
    });
  }

  /** Loaded when it gets its first URL or name. */
  async #requireDoors(): Promise<GuestDoors> {
    const state = this.#state;
    if (state === undefined || this.#status !== "running") {
      throw notRunning();
    }
    this.#doors ??= (async () => {
      const { openGuestDoors } = await import("./expose/guest-doors.ts");
      const { id, name } = this.#launch;
      const overCard: GuestDoorsOptions["overCard"] = (...call) => this.#network.connect(...call);
      return openGuestDoors({ id, name, guest: state, overCard, isPaused: () => this.#standstill.any });
    })();
    return this.#doors;
  }

  /** Whether the sandbox may have extensions from there. */
  async #openEditor(galleryUrl: string): Promise<boolean> {
    const { id, home } = this.#launch;
    if (home === undefined) throw new SbxError("unsupported", "this sandbox was started without VS Code");
    const { attachEditor } = await import("./expose/editor-disk.ts");
    await attachEditor({ id, home }, (m) => this.#log(m));
    const { decision } = await this.#network.check({ method: "GET", url: galleryUrl });
    return decision.verdict === "allow";
  }

  /** While the guest still runs: what it has written goes to its volumes. */
  async #settleVolumes(link: AgentLink): Promise<void> {
    const keepsRoot = this.#launch.rootWrites === "kept";
    const disks = await (keepsRoot ? (this.#volumes ??= this.#openDisks(link)) : this.#volumes);
    if (disks?.hasWrites !== true) return;
    await this.#standstill.release("user").catch(() => undefined); // QEMU is gone: there is nothing to be had
    await disks.settle();
  }

  /** As {@link #settleVolumes}, for what programs changed in mapped files of the host. */
  async #settleFolders(link: AgentLink): Promise<void> {
    if (this.#folders?.hasWrites !== true) return;
    await this.#standstill.release("user").catch(() => undefined); // as there
    await this.#folders.settle(link);
  }

  /** What of this sandbox no copy could have. */
  async #copyObstacle(call: CopyCall): Promise<string | null> {
    if (this.#launch.rootWrites === "kept") return "its root disk is a volume, which has one writer";
    if ((this.#folders?.views.length ?? 0) > 0) return "it has directories of this machine mounted";
    const copied = new Set(call.volumes.map(({ id }) => id));
    const volumes = (await this.#volumes)?.list() ?? [];
    const shared = volumes.filter(({ id, access }) => access === "read-only" || !copied.has(id));
    const names = shared.map(({ name }) => name).join(", ");
    return names === "" ? null : `it has volumes attached, which are not shared: ${names}`;
  }

  #requireMachine(): MachineControl {
    if (this.#machine !== undefined && this.#status === "running") return this.#machine;
    throw notRunning();
  }

  /** What the guest has to know of its network before anything of the user's runs. */
  async #introduce({ roots, environment }: Egress, link: AgentLink, state: GuestState): Promise<void> {
    for (const [name, value] of environment) state.environment.set(name, value);
    if (roots.length > 0) await link.call("trust", { roots });
  }

  #begin(): void {
    const { lifetime, id } = this.#launch;
    const ms = lifetime.kind === "duration" ? lifetime.ms : null;
    this.#startedAt = Date.now();
    this.#lifetime = new Lifetime(ms, () => void this.stop("expired"));
    const facts = { startedAt: this.#startedAt, expiresAt: this.#lifetime.expiresAt };
    this.#claim((store) => store.transition(id, "running", facts));
    this.#status = "running";
    if (lifetime.kind === "session") {
      this.#primaryTimer = setTimeout(() => void this.stop("session_ended"), PRIMARY_DEADLINE_MS);
    }
    for (const { socket, how } of this.#early.splice(0)) {
      this.#serve(socket, how);
      socket.resume();
    }
  }

  #connected(socket: WebSocket, how: Visitor): void {
    if (this.#end !== undefined) socket.close(1001, "the sandbox is stopping");
    else if (this.#status === "creating") {
      socket.pause();
      this.#early.push({ socket, how });
    } else this.#serve(socket, how);
  }

  #serve(socket: WebSocket, { extensions, dialect, primaryToken, transport }: Visitor): void {
    if (this.#state === undefined) throw new SbxError("internal", "a client is served before there is a guest");
    const connection = serveConnection(socket, this.#state, { extensions, dialect, transport });
    this.#connections.add(connection);
    const { lifetime } = this.#launch;
    const primary = lifetime.kind === "session" && primaryToken === lifetime.token;
    if (primary) clearTimeout(this.#primaryTimer);
    void connection.closed.then(() => {
      this.#connections.delete(connection);
      if (primary) void this.stop("session_ended");
    });
  }

  #extendTo(stopAtMs: number): number {
    this.#lifetime?.extend(stopAtMs - Date.now());
    const expiresAt = this.#lifetime?.expiresAt ?? null;
    this.#record((store) => store.amend(this.#launch.id, { expiresAt }));
    return expiresAt ?? stopAtMs;
  }

  #machineEnded(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#status === "creating" || this.#end !== undefined) return;
    const { panicked } = this.#words;
    if (this.#outOfMemory && panicked)
      void this.stop("out_of_memory", "the guest ran out of memory and its kernel gave up");
    else if (code === 0 && !panicked) void this.stop("guest_shutdown");
    else void this.stop("crashed", `QEMU ended ${describeExit(code, signal)}: ${this.#words.summary()}`);
  }

  #linkEnded(error: Error | undefined): void {
    if (error === undefined || this.#end !== undefined) return;
    // QEMU's own exit, if that is the cause, says more; a guest that shuts down takes a moment from here to there.
    setTimeout(() => void this.stop("crashed", error.message), MACHINE_END_MS);
  }

  async #takeDown(reason: StopReason, detail: string | null): Promise<void> {
    const { id, directory } = this.#launch;
    this.#end = { reason, detail, at: Date.now() };
    this.#status = "stopping";
    this.#log(`stopping: ${reason}${detail === null ? "" : ` (${detail})`}`);
    this.#watched.flush();
    // A start that failed has no orderly end to go through.
    if (reason !== "start_failed") this.#record((store) => store.transition(id, "stopping", { reason, detail }));
    this.#lifetime?.cancel();
    clearTimeout(this.#primaryTimer);
    this.#watch?.[Symbol.dispose]();
    for (const connection of this.#connections) connection.close(1001, `sandbox ${reason}`);
    for (const { socket } of this.#early.splice(0)) socket.close(1001, `sandbox ${reason}`);
    this.#ssh.close(`the sandbox has ended: ${reason.replaceAll("_", " ")}`);
    this.#door?.close();
    this.#http.close();
    await (await this.#doors)?.exposures[Symbol.asyncDispose]();
    if (this.#link !== undefined && STILL_RUNS.includes(reason)) {
      await this.#settleFolders(this.#link);
      await this.#settleVolumes(this.#link);
    }
    this.#meter.sample();
    await this.#vm.stop();
    await this.#link?.[Symbol.asyncDispose]();
    await this.#network[Symbol.asyncDispose]();
    this.#meter.end();
    await this.#folders?.[Symbol.asyncDispose]();
    await this.#watched[Symbol.asyncDispose]();
    if (ORDERLY.includes(reason)) await keepOnly(directory, KEPT_LOGS);
    else await rm(layerPath(directory), { force: true });
    this.#status = reason === "start_failed" ? "failed" : "stopped";
    const at = { stoppedAt: this.#end.at, reason, detail, vmPid: null };
    this.#record((store, database) => {
      // After the machine: the next one may write to its volumes.
      new ClaimStore(database).release(id);
      return store.transition(id, this.#status, at);
    });
    // Whoever asked for the end over HTTP gets the answer before the process goes.
    setImmediate(this.#resolveStopped);
  }

  /**
   * Records a step that only a live sandbox may take. Refused, it means that somebody took this process for dead, or
   * that the sandbox was removed meanwhile: its files are going, and it must go as well.
   */
  #claim(work: (store: SandboxStore) => boolean): void {
    if (this.#record(work) === false) {
      throw new SbxError("aborted", "the start was given up: the sandbox was removed meanwhile");
    }
  }

  /**
   * Opened for each write: it is seldom needed, and may have been set aside and replaced meanwhile. It may also be on a
   * full disk; the life of the sandbox does not depend on it.
   */
  #record<T>(work: (store: SandboxStore, database: DatabaseSync) => T): T | undefined {
    try {
      const database = openDatabase(this.#launch.databasePath);
      try {
        return work(new SandboxStore(database), database);
      } finally {
        database.close();
      }
    } catch (error) {
      this.#log(`the state database could not be written: ${String(error)}`);
      return undefined;
    }
  }

  #log(message: string): void {
    logLine(path.join(this.#launch.directory, "supervisor.log"), message);
  }
}

/** Where the file lies that the root disk is written to. */
function rootDirectory({ directory, rootLayers }: SandboxLaunch): string {
  const top = rootLayers.at(-1);
  return top === undefined ? directory : path.dirname(top.path);
}

function notRunning(): SbxError {
  return new SbxError("sandbox_stopped", "the sandbox is not running", { hint: "sbx list" });
}
