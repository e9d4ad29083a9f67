/**
 * A Runtime in memory, for tests of the command line: sandboxes are records, programs are functions. It keeps the rules
 * of src/runtime/runtime.ts that commands rely on (session lifetimes, unique prefixes, idempotent removal, aborts).
 */
import { PassThrough, type Duplex } from "node:stream";
import type { Verdict } from "../src/policy/spec.ts";
import { SbxError } from "../src/runtime/errors.ts";
import type {
  AuditEvent,
  AuditLogOptions,
  CheckAnswer,
  NetDenial,
  NetView,
  NetworkApi,
  RotatedSandbox,
  RulesAnswer,
  SecretApi,
  SecretInfo,
  SecretKeyPlace,
} from "../src/runtime/network.ts";
import type {
  CallOptions,
  CopyOptions,
  CopyReport,
  CreateOptions,
  ExecSession,
  ImageApi,
  MachineApi,
  Sandbox,
  TunnelTarget,
} from "../src/runtime/runtime.ts";
import type {
  CallerEnvironment,
  Check,
  ExecSpec,
  ImageInfo,
  ProgressEvent,
  PruneReport,
  SandboxInfo,
  SandboxSpec,
} from "../src/runtime/types.ts";
import type {
  EventOptions,
  EventRecord,
  LogLine,
  LogOptions,
  SandboxUsage,
  UsageOptions,
} from "../src/runtime/watching.ts";
import type { OrganisationRuntime } from "../src/runtime/organisations.ts";
import type { RpcHandshake } from "../src/runtime/rpc-door.ts";
import type { ForkOptions, ForkReport, ForkSpec } from "../src/runtime/checkpoints.ts";
import { FakeApps } from "./fake-apps.ts";
import { FakeCheckpoints } from "./fake-checkpoints.ts";
import { FakeSnapshots, FakeVolumes } from "./fake-disks.ts";
import { FakeDomains } from "./fake-domains.ts";
import type { MeteredUsage, MeteringApi } from "../src/runtime/metering.ts";
import { FakeEditor } from "./fake-editor.ts";
import { FakeExposures } from "./fake-exposures.ts";
import { FakeFiles } from "./fake-files.ts";
import { FakeFolders } from "./fake-folders.ts";
import { FakeSession, type FakeProgram } from "./fake-session.ts";
import { FakeSsh } from "./fake-ssh.ts";

export type { FakeProcess, FakeProgram } from "./fake-session.ts";

const MIB = 1024 ** 2;

/** Programs that every fake guest has. */
const STANDARD_PROGRAMS: Record<string, FakeProgram> = {
  true: () => 0,
  false: () => 1,
  echo: ({ spec, stdout }) => {
    stdout.write(`${spec.argv.slice(1).join(" ")}\n`);
    return 0;
  },
  cat: async ({ stdin, stdout }) => {
    if (stdin === null) return 0;
    for await (const chunk of stdin) {
      if (!stdout.write(chunk)) await new Promise((resolve) => stdout.once("drain", resolve));
    }
    return 0;
  },
};

export function sandboxInfo(overrides: Partial<SandboxInfo> = {}): SandboxInfo {
  return {
    id: "sbx_loc_0123456789abcdefghjk",
    name: null,
    status: "running",
    createdAt: 1_700_000_000_000,
    startedAt: 1_700_000_001_000,
    stoppedAt: null,
    expiresAt: 1_700_001_800_000,
    reason: null,
    detail: null,
    image: { id: "a".repeat(64), name: "default" },
    memoryBytes: 1280 * MIB,
    cpus: 2,
    diskBytes: 10_000_000_000,
    labels: {},
    region: "loc",
    supervisorPid: 100,
    vmPid: 101,
    accelerator: "tcg",
    ...overrides,
  };
}

export function imageInfo(overrides: Partial<ImageInfo> = {}): ImageInfo {
  return {
    id: "a".repeat(64),
    names: ["default"],
    createdAt: 1_700_000_000_000,
    sizeBytes: 900 * MIB,
    architecture: "amd64",
    distribution: "Debian 13",
    kernel: "6.12.1",
    packages: ["bash 5.2", "python3 3.13"],
    registries: [{ tool: "pip", host: "packages.example" }],
    isDefault: true,
    ...overrides,
  };
}

export function networkView(overrides: Partial<NetView> = {}): NetView {
  return {
    mode: "none",
    rules: [],
    secrets: [],
    onLeak: "block",
    inspect: false,
    hook: null,
    counters: { openFlows: 0, connections: 0, requests: 0, denied: 0, leaks: 0, sentBytes: 0, receivedBytes: 0 },
    denied: [],
    ...overrides,
  };
}

export function secretInfo(overrides: Partial<SecretInfo> = {}): SecretInfo {
  return {
    name: "EXAMPLE_KEY",
    hosts: [{ host: "api.example.com", port: null, scheme: "https" }],
    source: "value",
    detail: null,
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_000_000,
    ...overrides,
  };
}

export class FakeRuntime implements OrganisationRuntime {
  sandboxes: SandboxInfo[] = [];
  imageList: ImageInfo[] = [imageInfo()];
  programs = new Map<string, FakeProgram>(Object.entries(STANDARD_PROGRAMS));
  logLines: LogLine[] = [];
  eventList: EventRecord[] = [];
  /** Answers of `usage`, one after the other; the last one stays. */
  usages: SandboxUsage[][] = [[]];
  /** Whether following ends by itself, because the sandbox is over. */
  followEnds = false;
  checks: Check[] = [];
  pruneReport: PruneReport = { removed: [], failed: [] };
  copyReport: CopyReport = { files: 1, bytes: 10, skipped: [] };
  view: NetView = networkView();
  checkAnswer: CheckAnswer = {
    decision: { verdict: "allow", rule: null, reason: "it is public", fix: null },
    carried: "tunnel",
    secrets: [],
  };
  /** Answer of the next change; one that repeats the patterns if absent. */
  rulesAnswer: RulesAnswer | undefined;
  deniedTargets: NetDenial[] = [];
  auditEvents: AuditEvent[] = [];
  /** Lines of the audit log that cannot be read. */
  damagedLines = 0;
  secretList: SecretInfo[] = [];
  secretKey: SecretKeyPlace | null = null;
  rotated: RotatedSandbox[] = [];
  /** The caller's environment, as the last call that takes one was given it. */
  environment: CallerEnvironment["environment"];
  /** The values that came with the last creation. */
  secretValues: CallerEnvironment["secretValues"];
  /** Thrown by the next call of a method. */
  failures = new Map<string, Error>();
  /** Progress that long calls report. */
  progress: ProgressEvent[] = [];
  /** Every call: name and arguments. */
  calls: { method: string; args: unknown[] }[] = [];
  /** What a new sandbox's owner is told. */
  notices: string[] = [];
  /** Waits here before a sandbox is ready. */
  createGate: Promise<unknown> = Promise.resolve();
  now = 1_700_000_060_000;
  disposed = 0;
  #made = 0;
  readonly #files = new Map<string, FakeFiles>();

  record(method: string, ...args: unknown[]): void {
    this.calls.push({ method, args });
    const failure = this.failures.get(method);
    if (failure === undefined) return;
    this.failures.delete(method);
    throw failure;
  }

  async create(spec: SandboxSpec, options: CreateOptions = {}): Promise<Sandbox> {
    this.record("create", spec);
    this.environment = options.environment;
    this.secretValues = options.secretValues;
    for (const event of this.progress) options.onProgress?.(event);
    await abortable(this.createGate, options.signal);
    for (const text of this.notices) options.onNotice?.(text);
    const info = sandboxInfo({
      id: `sbx_loc_${String(++this.#made).padStart(20, "0")}`,
      name: spec.name ?? null,
      createdAt: this.now,
      startedAt: this.now,
      expiresAt: spec.lifetime.kind === "duration" ? this.now + spec.lifetime.ms : null,
      labels: spec.labels ?? {},
      ...(spec.memoryBytes === undefined ? {} : { memoryBytes: spec.memoryBytes }),
    });
    this.sandboxes.unshift(info);
    return new FakeSandbox(this, info, spec.lifetime.kind === "session");
  }

  async connect(ref: string, options: CallOptions = {}): Promise<Sandbox> {
    this.record("connect", ref);
    options.signal?.throwIfAborted();
    const info = this.find(ref);
    if (info.status !== "running") throw new SbxError("sandbox_stopped", `the sandbox ${ref} is not running`);
    return new FakeSandbox(this, info, false);
  }

  /** What a connection into a guest is. */
  tunnel: (id: string, target: TunnelTarget) => Promise<Duplex> = async () => new PassThrough();

  /** Connects to whatever serves the sandboxes' RPC. */
  rpc: (id: string, handshake: RpcHandshake) => Promise<Duplex> = async () => {
    throw new SbxError("supervisor_lost", "nobody serves the RPC of this fake");
  };

  async openRpc(ref: string, handshake: RpcHandshake): Promise<Duplex> {
    this.record("openRpc", ref);
    const info = this.find(ref);
    if (info.status !== "running") throw new SbxError("sandbox_stopped", `the sandbox ${ref} is not running`);
    return this.rpc(info.id, handshake);
  }

  async get(ref: string): Promise<SandboxInfo> {
    this.record("get", ref);
    return this.find(ref);
  }

  async list(options: CallOptions & { labels?: Record<string, string> } = {}): Promise<SandboxInfo[]> {
    this.record("list", options.labels);
    const wanted = Object.entries(options.labels ?? {});
    return this.sandboxes.filter(({ labels }) => wanted.every(([key, value]) => labels[key] === value));
  }

  async remove(ref: string): Promise<SandboxInfo> {
    this.record("remove", ref);
    return this.stop(this.find(ref), "killed");
  }

  async extend(ref: string, ms: number): Promise<number> {
    this.record("extend", ref, ms);
    const info = this.find(ref);
    info.expiresAt = Math.max(info.expiresAt ?? 0, this.now + ms);
    return info.expiresAt;
  }

  async fork(ref: string, spec: ForkSpec, options: ForkOptions = {}): Promise<ForkReport> {
    this.record("fork", ref, spec);
    this.environment = options.environment;
    const source = this.find(ref);
    const copies = Array.from({ length: spec.count }, (_, index) => {
      const suffix = spec.count === 1 ? "" : `-${index + 1}`;
      return sandboxInfo({
        id: `sbx_loc_${String(++this.#made).padStart(20, "0")}`,
        name: spec.name === undefined ? null : `${spec.name}${suffix}`,
        labels: { ...source.labels, ...spec.labels },
      });
    });
    this.sandboxes.unshift(...copies);
    return { sandboxes: copies, pausedMs: 41.7 };
  }

  async pause(ref: string): Promise<SandboxInfo> {
    this.record("pause", ref);
    const info = this.find(ref);
    info.status = "paused";
    return info;
  }

  async resume(ref: string): Promise<SandboxInfo> {
    this.record("resume", ref);
    const info = this.find(ref);
    if (info.status === "paused") info.status = "running";
    return info;
  }

  async *logs(ref: string, { signal, ...options }: LogOptions = {}): AsyncIterable<LogLine> {
    this.record("logs", ref, options);
    yield* options.tail === undefined ? this.logLines : this.logLines.slice(-options.tail);
    if (options.follow === true && !this.followEnds) await abortable(new Promise(() => undefined), signal);
  }

  async *events({ signal, ...options }: EventOptions = {}): AsyncIterable<EventRecord> {
    this.record("events", options);
    yield* this.eventList;
    if (options.follow === true) await abortable(new Promise(() => undefined), signal);
  }

  async usage({ signal, ...options }: UsageOptions = {}): Promise<SandboxUsage[]> {
    signal?.throwIfAborted();
    this.record("usage", options);
    const [next = []] = this.usages;
    if (this.usages.length > 1) this.usages.shift();
    return next;
  }

  async prune(options: CallOptions & { dryRun?: boolean; images?: boolean } = {}): Promise<PruneReport> {
    this.record("prune", { dryRun: options.dryRun, images: options.images });
    return this.pruneReport;
  }

  readonly domains = new FakeDomains((ref) => {
    this.record("domains", ref);
    if (this.find(ref).status === "running") return;
    throw new SbxError("sandbox_stopped", `the sandbox ${ref} is not running`);
  });

  readonly images: ImageApi = {
    list: async () => {
      this.record("images.list");
      return this.imageList;
    },
    get: async (ref) => {
      this.record("images.get", ref);
      return this.#findImage(ref);
    },
    verify: async (ref, options = {}) => {
      this.record("images.verify", ref);
      for (const event of this.progress) options.onProgress?.(event);
      return this.#findImage(ref);
    },
    build: async (spec, options = {}) => {
      this.record("images.build", spec);
      for (const event of this.progress) options.onProgress?.(event);
      return imageInfo({ id: "b".repeat(64), names: [spec.name], isDefault: false });
    },
    remove: async (ref) => {
      this.record("images.remove", ref);
      const image = this.#findImage(ref);
      this.imageList = this.imageList.filter((other) => other !== image);
      return image;
    },
  };

  readonly machine: MachineApi = {
    setup: async (options = {}) => {
      this.record("machine.setup", { force: options.force });
      return this.checks;
    },
    doctor: async () => {
      this.record("machine.doctor");
      return this.checks;
    },
  };

  readonly network: NetworkApi = {
    show: async (ref) => {
      this.record("network.show", ref);
      this.find(ref);
      return this.view;
    },
    check: async (ref, method, url) => {
      this.record("network.check", ref, method, url);
      this.find(ref);
      return this.checkAnswer;
    },
    change: async (ref, verdict, patterns) => {
      this.record("network.change", ref, verdict, patterns);
      this.find(ref);
      return this.rulesAnswer ?? repeatedRules(verdict, patterns, this.now);
    },
    denied: async (ref) => {
      this.record("network.denied", ref);
      return this.deniedTargets;
    },
    log: (ref, options = {}) => this.#auditLog(ref, options),
  };

  readonly snapshots = new FakeSnapshots();
  readonly volumes = new FakeVolumes();
  readonly checkpoints = new FakeCheckpoints((method, ...args) => this.record(method, ...args));

  readonly ssh = new FakeSsh(async (ref) => (await this.get(ref)).id);
  readonly folders = new FakeFolders();
  readonly exposures = new FakeExposures((method, ...args) => this.record(method, ...args));
  meteredUsage: MeteredUsage[] = [];
  readonly metering: MeteringApi = {
    read: async (query) => {
      this.record("metering.read", query);
      return this.meteredUsage;
    },
  };
  readonly editor = new FakeEditor((method, ...args) => this.record(method, ...args));
  readonly apps = new FakeApps(this);
  readonly appDoor = this.apps;

  readonly secrets: SecretApi = {
    names: async () => {
      this.record("secrets.names");
      return this.secretList.map(({ name, hosts }) => ({ name, hosts }));
    },
    list: async () => {
      this.record("secrets.list");
      return { secrets: this.secretList, key: this.secretKey };
    },
    set: async (secret) => {
      this.record("secrets.set", secret);
      const { name, hosts, source } = secret;
      const info = secretInfo({ name, hosts, source: source.kind });
      this.secretList = [...this.secretList.filter((other) => other.name !== name), info];
      return info;
    },
    remove: async (name) => {
      this.record("secrets.remove", name);
      const secret = this.#findSecret(name);
      this.secretList = this.secretList.filter((other) => other !== secret);
      return secret;
    },
    rotate: async (name, source, options = {}) => {
      this.record("secrets.rotate", name, source);
      this.environment = options.environment;
      return { secret: this.#findSecret(name), sandboxes: this.rotated };
    },
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed++;
  }

  find(ref: string): SandboxInfo {
    const exact = this.sandboxes.filter(({ id, name }) => id === ref || name === ref);
    const fitting =
      exact.length > 0 ? exact : this.sandboxes.filter((info) => info.id.startsWith(ref) || info.name?.startsWith(ref));
    const [first, second] = fitting;
    if (first === undefined)
      throw new SbxError("sandbox_not_found", `no sandbox is called ${JSON.stringify(ref)}`, { hint: "sbx list" });
    if (second !== undefined)
      throw new SbxError("sandbox_ambiguous", `${JSON.stringify(ref)} could be more than one sandbox`);
    return first;
  }

  stop(info: SandboxInfo, reason: SandboxInfo["reason"]): SandboxInfo {
    if (info.status !== "stopped")
      Object.assign(info, { status: "stopped", reason, stoppedAt: this.now, expiresAt: null });
    return info;
  }

  /** The files of a sandbox, the same for all of its handles. */
  filesOf(id: string): FakeFiles {
    const files = this.#files.get(id) ?? new FakeFiles((method, ...args) => this.record(method, id, ...args));
    this.#files.set(id, files);
    return files;
  }

  async *#auditLog(ref: string, options: AuditLogOptions): AsyncIterable<AuditEvent> {
    this.record("network.log", ref, { follow: options.follow, tail: options.tail });
    this.find(ref);
    const wanted = this.auditEvents.filter(options.filter ?? (() => true));
    yield* options.tail === undefined ? wanted : wanted.slice(-options.tail);
    if (options.follow === true) await abortable(new Promise(() => undefined), options.signal);
    if (this.damagedLines > 0) options.onDamaged?.(this.damagedLines);
  }

  #findSecret(name: string): SecretInfo {
    const secret = this.secretList.find((candidate) => candidate.name === name);
    if (secret === undefined) throw new SbxError("secret_not_found", `no secret is stored as ${name}`);
    return secret;
  }

  #findImage(ref: string): ImageInfo {
    const image = this.imageList.find(({ id, names }) => names.includes(ref) || id.startsWith(ref));
    if (image === undefined) throw new SbxError("image_not_found", `there is no image ${JSON.stringify(ref)}`);
    return image;
  }
}

function repeatedRules(verdict: Verdict, patterns: readonly string[], at: number): RulesAnswer {
  const rules = patterns.map((text, index) => ({
    ...{ id: `r${index + 1}`, verdict, text, kind: "host" as const, warning: null },
    source: { kind: "command" as const, at },
  }));
  return { rules, stillDenied: [] };
}

class FakeSandbox implements Sandbox {
  readonly closed = new Promise<undefined>(() => undefined);
  readonly id: string;
  readonly info: SandboxInfo;
  readonly files: FakeFiles;
  readonly #runtime: FakeRuntime;
  readonly #session: boolean;

  constructor(runtime: FakeRuntime, info: SandboxInfo, session: boolean) {
    this.#runtime = runtime;
    this.files = runtime.filesOf(info.id);
    this.info = info;
    this.id = info.id;
    this.#session = session;
  }

  async exec(spec: ExecSpec, options: CallOptions = {}): Promise<ExecSession> {
    this.#runtime.record("exec", spec);
    options.signal?.throwIfAborted();
    const program = this.#runtime.programs.get(spec.argv[0]);
    if (program === undefined) {
      throw new SbxError("command_not_found", `the command ${spec.argv[0]} was not found in the sandbox`);
    }
    return new FakeSession(spec, program);
  }

  async start(spec: ExecSpec): Promise<number> {
    this.#runtime.record("start", spec);
    return 4321;
  }

  async setEnv(env: Record<string, string>): Promise<void> {
    this.#runtime.record("setEnv", env);
  }

  async upload(sources: string[], destination: string, options: CopyOptions = {}): Promise<CopyReport> {
    this.#runtime.record("upload", this.id, sources, destination, options.user);
    for (const event of this.#runtime.progress) options.onProgress?.(event);
    return this.#runtime.copyReport;
  }

  async download(sources: string[], destination: string, options: CopyOptions = {}): Promise<CopyReport> {
    this.#runtime.record("download", this.id, sources, destination, options.user);
    return this.#runtime.copyReport;
  }

  async transfer(
    sources: string[],
    target: Sandbox,
    destination: string,
    options: CopyOptions = {},
  ): Promise<CopyReport> {
    this.#runtime.record("transfer", this.id, sources, target.id, destination, options.user);
    return this.#runtime.copyReport;
  }

  async openTunnel(target: TunnelTarget): Promise<Duplex> {
    return this.#runtime.tunnel(this.id, target);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#session) this.#runtime.stop(this.info, "session_ended");
  }
}

/** Waits, unless the signal aborts first. */
async function abortable<T>(wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  signal?.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new SbxError("aborted", "stopped"));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([wait, promise]);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
