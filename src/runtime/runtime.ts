/**
 * The Runtime: everything a command may do. Implemented by the local embedded runtime and by the client of a control
 * plane; commands and the control plane are written against this file alone.
 *
 * A Runtime returns data and streams. It never prints, prompts or exits; every call takes an AbortSignal and every
 * handle can be disposed more than once.
 */
import type { Readable, Writable, Duplex } from "node:stream";
import type { AppApi } from "./apps.ts";
import type { ExposureApi } from "./exposures.ts";
import type { GuestFiles } from "./files.ts";
import type { FolderApi } from "./folders.ts";
import type { PackObserver } from "./copy/copy-records.ts";
import type { CheckpointApi, ForkOptions, ForkReport, ForkSpec } from "./checkpoints.ts";
import type { SnapshotApi, VolumeApi } from "./disks.ts";
import type { EditorApi } from "./editor.ts";
import type { MeteringApi } from "./metering.ts";
import type { NetworkApi, SecretApi } from "./network.ts";
import type { RpcHandshake } from "./rpc-door.ts";
import type { SshApi } from "./ssh.ts";
import type {
  CallerEnvironment,
  CallOptions,
  Check,
  ExecSpec,
  ExitStatus,
  ImageBuildSpec,
  ImageInfo,
  PruneReport,
  SandboxInfo,
  SandboxSpec,
} from "./types.ts";
import type { EventOptions, EventRecord, LogLine, LogOptions, SandboxUsage, UsageOptions } from "./watching.ts";

export type { CallOptions };

export interface Runtime extends AsyncDisposable {
  /**
   * Makes a sandbox and connects to it. A `session` sandbox ends when the returned handle is disposed.
   *
   * @throws SbxError among others `secret_not_found` or `secret_unreadable` for a secret without a value
   */
  create(spec: SandboxSpec, options?: CreateOptions): Promise<Sandbox>;
  /** Connects to a running sandbox by id, name, or a unique prefix of either. Never changes its lifetime. */
  connect(ref: string, options?: CallOptions): Promise<Sandbox>;
  /**
   * A connection to a running sandbox's RPC, on which a WebSocket's opening handshake was sent: its answer comes first,
   * and the caller speaks the protocol. Each direction ends by itself. Never changes the sandbox's lifetime.
   *
   * @throws SbxError as {@link connect}
   */
  openRpc(ref: string, handshake: RpcHandshake, options?: CallOptions): Promise<Duplex>;
  /** @throws SbxError `sandbox_not_found` or `sandbox_ambiguous` */
  get(ref: string, options?: CallOptions): Promise<SandboxInfo>;
  /** All that are known, the newest first; stopped ones stay for a day. */
  list(options?: CallOptions & { labels?: Record<string, string> }): Promise<SandboxInfo[]>;
  /** Stops and forgets nothing but the resources: the sandbox stays listed as stopped. Idempotent. */
  remove(ref: string, options?: CallOptions): Promise<SandboxInfo>;
  /** Makes the sandbox live for at least `ms` from now. Never shortens. Returns the new end, epoch ms. */
  extend(ref: string, ms: number, options?: CallOptions): Promise<number>;
  /** Copies a running sandbox, processes and memory included. All copies run when it returns; none if it fails. */
  fork(ref: string, spec: ForkSpec, options?: ForkOptions): Promise<ForkReport>;
  /** Has its machine stand still; its lifetime goes on. Repeating it changes nothing. */
  pause(ref: string, options?: CallOptions): Promise<SandboxInfo>;
  /** Lets a paused one go on. */
  resume(ref: string, options?: CallOptions): Promise<SandboxInfo>;
  /** What was said around a sandbox, in the order of time. @throws SbxError `sandbox_not_found` */
  logs(ref: string, options?: LogOptions): AsyncIterable<LogLine>;
  /** What happened, in order; each event once. @throws SbxError `sandbox_not_found` */
  events(options?: EventOptions): AsyncIterable<EventRecord>;
  /** What running sandboxes use at this moment, the newest first. @throws SbxError `sandbox_not_found`, `sandbox_stopped` */
  usage(options?: UsageOptions): Promise<SandboxUsage[]>;
  /**
   * Removes records of stopped sandboxes and whatever nothing refers to.
   *
   * @param options `images`: also images that nothing uses; `volumes`: also removed volumes, which can still be restored
   */
  prune(options?: CallOptions & { dryRun?: boolean; images?: boolean; volumes?: boolean }): Promise<PruneReport>;
  readonly images: ImageApi;
  readonly machine: MachineApi;
  readonly network: NetworkApi;
  readonly secrets: SecretApi;
  readonly snapshots: SnapshotApi;
  readonly volumes: VolumeApi;
  readonly checkpoints: CheckpointApi;
  readonly folders: FolderApi;
  readonly ssh: SshApi;
  readonly exposures: ExposureApi;
  readonly editor: EditorApi;
  readonly apps: AppApi;
  readonly metering: MeteringApi;
}

export interface CreateOptions extends CallOptions, CallerEnvironment {
  /** Told what a person should know, such as what a copy leaves out. One sentence, not a word of it the guest's. */
  onNotice?: (text: string) => void;
}

export interface Sandbox extends AsyncDisposable {
  readonly id: string;
  readonly info: SandboxInfo;
  exec(spec: ExecSpec, options?: CallOptions): Promise<ExecSession>;
  /** Starts a process that outlives this handle, without stdin; its output is in the sandbox's logs. Returns its pid. */
  start(spec: ExecSpec, options?: CallOptions): Promise<number>;
  /** Sets variables for processes that start from now on. */
  setEnv(env: Record<string, string>, options?: CallOptions): Promise<void>;
  /** Single files, without the host's disk. */
  readonly files: GuestFiles;
  /** Copies host paths into the guest. `destination` follows `cp`: an existing directory receives the sources. */
  upload(sources: string[], destination: string, options?: CopyOptions): Promise<CopyReport>;
  /** Copies guest paths or globs to the host. Nothing is written outside `destination`. */
  download(sources: string[], destination: string, options?: CopyOptions): Promise<CopyReport>;
  /** Copies between two sandboxes without touching the host's disk. */
  transfer(sources: string[], target: Sandbox, destination: string, options?: CopyOptions): Promise<CopyReport>;
  /** A connection to a server inside the guest. Each direction ends by itself; destroying it resets the server's end. */
  openTunnel(target: TunnelTarget, options?: CallOptions): Promise<Duplex>;
  /** Settles when the link to the sandbox is gone, with the reason if it was not asked for. */
  readonly closed: Promise<Error | undefined>;
}

/** A TCP port of the guest's loopback, of either family, or a Unix socket. */
export type TunnelTarget = { port: number } | { path: string };

export interface ExecSession extends AsyncDisposable {
  readonly pid: number;
  /** Ends the guest's stdin when ended. Absent unless `stdin` or `tty` was asked for. */
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  resize(cols: number, rows: number): void;
  /** Sends to the guest's whole process group. */
  signal(name: string): void;
  /** Settles after the last byte of output was received. */
  readonly exit: Promise<ExitStatus>;
}

export interface CopyOptions extends CallOptions {
  /** Guest account whose rights apply; the ordinary user if absent. */
  user?: string;
  /** Hears what is sent, where that comes from this machine. */
  observer?: PackObserver;
}

export interface CopyReport {
  files: number;
  bytes: number;
  /** Entries that were left out, with the reason (sockets, devices, names the host cannot hold). */
  skipped: { path: string; reason: string }[];
}

export interface ImageApi {
  list(options?: CallOptions): Promise<ImageInfo[]>;
  /** @throws SbxError `image_not_found` */
  get(ref: string, options?: CallOptions): Promise<ImageInfo>;
  /** Reads every byte of it. @throws SbxError `image_not_found`, `image_broken` with what has changed */
  verify(ref: string, options?: CallOptions): Promise<ImageInfo>;
  build(spec: ImageBuildSpec, options?: CallOptions): Promise<ImageInfo>;
  /** @throws SbxError `image_in_use` with the sandboxes that stand on it */
  remove(ref: string, options?: CallOptions): Promise<ImageInfo>;
}

/** The machine under the local runtime. A remote runtime refuses these with `unsupported`. */
export interface MachineApi {
  /** Image, template and accelerator verdict; quick when all is there. */
  setup(options?: CallOptions & { force?: boolean }): Promise<Check[]>;
  doctor(options?: CallOptions): Promise<Check[]>;
}
