/**
 * Apps at the Runtime interface: what is deployed. An app has settings, variables and revisions; a revision is an
 * immutable snapshot of files with all that is needed to run them; a timeline is a place (`production`, or a preview of
 * one revision) with one active revision. Layers are variables that several apps have in common. Times are epoch ms.
 */
import type {
  AppConfig,
  BuildLogLine,
  BuildStep,
  Contexts,
  FailureReason,
  InstanceSettings,
  Progress,
  RevisionStatus,
  RevisionVariable,
} from "../protocol/app-values.ts";
import type { Duplex } from "node:stream";
import type { Budget } from "../metering/budget.ts";
import type { CallOptions } from "./types.ts";

export { FRAMEWORKS, INSTANCE_BOUNDS, MAX_VARIABLE_BYTES } from "../protocol/app-values.ts";
export type {
  AppConfig,
  BuildLogLine,
  BuildStep,
  Contexts,
  FailureReason,
  InstanceSettings,
  Progress,
  RevisionStatus,
  RevisionVariable,
  Stage,
} from "../protocol/app-values.ts";

export interface LayerRef {
  id: string;
  slug: string;
}

export interface EnvVariable {
  id: string;
  key: string;
  /** `null` for a secret: its value is never given back. */
  value: string | null;
  isSecret: boolean;
  /** Where it is there: `production`, `development` or `build`. */
  contexts: Contexts;
}

export interface EnvVariableSpec {
  key: string;
  value: string;
  isSecret?: boolean;
  /** `all` if absent. */
  contexts?: Contexts;
}

/** What becomes of one variable: found by its id, else by its key; one that is not there is added. */
export interface EnvVariableChange {
  id?: string;
  key?: string;
  value?: string;
  isSecret?: boolean;
  contexts?: Contexts;
  remove?: boolean;
}

export interface AppInfo {
  id: string;
  slug: string;
  labels: Record<string, string>;
  env: EnvVariable[];
  config: AppConfig;
  /** `null` where a server does not say. */
  instances: InstanceSettings | null;
  /** The first has precedence. */
  layers: LayerRef[];
  createdAt: number;
  updatedAt: number;
}

export interface AppSpec {
  /** A random one if absent. */
  slug?: string;
  labels?: Record<string, string>;
  env?: readonly EnvVariableSpec[];
  config?: AppConfig;
  /** The rest is the default. */
  instances?: Partial<InstanceSettings>;
  /** Ids or slugs. */
  layers?: readonly string[];
}

export interface AppChange {
  slug?: string;
  /** In the place of all. */
  labels?: Record<string, string>;
  /** Merged with those that are there. */
  env?: readonly EnvVariableChange[];
  /** In the place of the whole. */
  config?: AppConfig;
  /** The rest stays as it is. Goes for the instances that run as well. */
  instances?: Partial<InstanceSettings>;
  /** In the place of all. */
  layers?: readonly string[];
}

export interface LayerInfo {
  id: string;
  slug: string;
  description: string | null;
  /** Layers that this one includes; the first has precedence. */
  layers: LayerRef[];
  env: EnvVariable[];
  /** Apps that refer to it directly. */
  appCount: number;
  createdAt: number;
  updatedAt: number;
}

export interface LayerSpec {
  slug: string;
  description?: string;
  layers?: readonly string[];
  env?: readonly EnvVariableSpec[];
}

export interface LayerChange {
  slug?: string;
  description?: string;
  layers?: readonly string[];
  env?: readonly EnvVariableChange[];
}

/** An app that refers to a layer. */
export interface LayerUser {
  id: string;
  slug: string;
  /** In the app's own list of layers. */
  position: number;
}

export interface LayerApi {
  /** @throws SbxError `name_in_use`, `layer_not_found`, `usage` */
  create(spec: LayerSpec, options?: CallOptions): Promise<LayerInfo>;
  /** The newest first. `search` is a part of the slug or of the description. */
  list(options?: CallOptions & { search?: string }): Promise<LayerInfo[]>;
  /** By its whole id or slug, as everywhere here. @throws SbxError `layer_not_found` */
  get(ref: string, options?: CallOptions): Promise<LayerInfo>;
  update(ref: string, change: LayerChange, options?: CallOptions): Promise<LayerInfo>;
  /** @throws SbxError `layer_in_use` while apps or layers refer to it */
  remove(ref: string, options?: CallOptions): Promise<LayerInfo>;
  /** By slug. */
  users(ref: string, options?: CallOptions): Promise<LayerUser[]>;
}

/** A file or link of a revision. Its path is relative to the app's directory. */
export type DeployAsset = { kind: "file"; content: Uint8Array } | { kind: "symlink"; target: string };

export type DeploySource =
  | { kind: "assets"; assets: ReadonlyMap<string, DeployAsset> }
  /** A directory of a running sandbox, whose network and secrets the revision has as well. */
  | {
      kind: "sandbox";
      sandbox: string;
      /** Absolute; where commands of the build run. */
      path: string;
      /** What of it is deployed, relative to it; the whole if absent. */
      root?: string;
    };

export interface DeploySpec {
  source: DeploySource;
  /** That of the app if absent. */
  config?: AppConfig;
  /** Those of the app if absent. */
  layers?: readonly string[];
  /** Only this revision's; they go before those of the app. */
  env?: readonly RevisionVariable[];
  labels?: Record<string, string>;
  /** Whether `production` becomes this revision, once it runs. */
  production: boolean;
  /** Whether it gets a preview of its own. */
  preview: boolean;
  /** Whether it stays when there are too many; false if absent. */
  isKept?: boolean;
  /** How large its files may be, bytes; the runtime's own limit if absent. */
  maxBytes?: number;
}

export interface RevisionInfo {
  id: string;
  /** `null` where a server does not say. */
  app: { id: string; slug: string } | null;
  status: RevisionStatus;
  failureReason: FailureReason | null;
  /** One sentence more; `null` also where a server does not say. */
  failure: string | null;
  labels: Record<string, string>;
  layers: LayerRef[];
  env: RevisionVariable[];
  config: AppConfig;
  /** SHA-256 of its files, and how large they are; `null` until they are stored, and where a server does not say. */
  content: { sha256: string; bytes: number } | null;
  createdAt: number;
  cancelRequestedAt: number | null;
  finishedAt: number | null;
  /** Whether it stays when there are too many. */
  isKept: boolean;
}

export interface TimelineInfo {
  /** `production`, or `preview/` and the revision's id. */
  slug: string;
  app: { id: string; slug: string };
  /** Whose variables it has. */
  context: "production" | "development";
  /** The active revision; `null` where a server does not say. */
  revision: string | null;
  updatedAt: number | null;
  /** Hosts of a server's gateway, with a port where that is not 443; none for this machine's own runtime. */
  domains: string[];
}

export interface RevisionApi {
  /** The newest first. @throws SbxError `app_not_found` */
  list(app: string, options?: CallOptions & { status?: RevisionStatus }): Promise<RevisionInfo[]>;
  /** @throws SbxError `revision_not_found` */
  get(id: string, options?: CallOptions): Promise<RevisionInfo>;
  /** Asks for the end of its build; one that is over stays as it is. */
  cancel(id: string, options?: CallOptions): Promise<RevisionInfo>;
  /** @throws SbxError `revision_in_use` while it is built, or is active in `production` */
  remove(id: string, options?: CallOptions): Promise<RevisionInfo>;
  /** Has it stay when there are too many, or not any more. */
  keep(id: string, isKept: boolean, options?: CallOptions): Promise<RevisionInfo>;
  /** How far it is, now and with each step, until it is over. */
  progress(id: string, options?: CallOptions): AsyncIterable<Progress>;
  /** All lines from the first, until it is over. */
  buildLogs(id: string, options?: BuildLogOptions): AsyncIterable<BuildLogLine>;
  /** Where it is active. */
  timelines(id: string, options?: CallOptions): Promise<TimelineInfo[]>;
}

export interface BuildLogOptions extends CallOptions {
  step?: BuildStep;
  timeline?: string;
}

/** What an address of an app leads to. */
export interface AppAddress {
  /** Its slug. */
  app: string;
  /** One of its previews; `production` if absent. */
  revision?: string;
}

/** A connection to an instance of an app. Between two requests it may give way to one that goes elsewhere. */
export interface AppConnection {
  readonly stream: Duplex;
  /** Nothing is under way: the instance has room for another one, and may end. */
  rest(): void;
  /** Whether the next request may take it; if not, another connection is to be opened, and this one closed. */
  goOn(): boolean;
}

/** The way of a control plane's gateway to apps. */
export interface AppDoor {
  /**
   * Connects to the server of an app. One that does not run is started: whoever asks meanwhile waits for the same.
   *
   * @param options.first what the server is sent first
   * @param options.admit asked before an instance is made
   * @throws SbxError `app_not_found`, also for a revision without a preview; why it does not start
   */
  openHttp(address: AppAddress, options?: OpenAppOptions): Promise<AppConnection>;
}

export interface OpenAppOptions extends CallOptions {
  first?: Buffer | undefined;
  admit?: Admission;
}

/** Makes room for one sandbox while `make` runs, which is given what the sandbox may use. */
export type Admission = <T>(
  demand: { memoryBytes: number; cpus: number },
  make: (budget: Budget) => Promise<T>,
) => Promise<T>;

export type ActivateOptions = Pick<OpenAppOptions, "admit" | "signal">;
export type DeployOptions = ActivateOptions;

export const MAX_APP_LOG_LINES = 20_000;

/** A line of a program. The text is a guest's. */
export interface AppLogLine {
  time: number;
  level: "info" | "error";
  message: string;
  revision: string;
}

export interface AppLogOptions extends CallOptions {
  /** Inclusive. */
  since?: number;
  until?: number;
  revision?: string;
}

export interface AppApi {
  /** @throws SbxError `name_in_use`, `layer_not_found`, `usage` */
  create(spec: AppSpec, options?: CallOptions): Promise<AppInfo>;
  /** What was changed last comes first. */
  list(options?: CallOptions & { labels?: Record<string, string>; layer?: string }): Promise<AppInfo[]>;
  /** By its whole id or slug. @throws SbxError `app_not_found` */
  get(ref: string, options?: CallOptions): Promise<AppInfo>;
  update(ref: string, change: AppChange, options?: CallOptions): Promise<AppInfo>;
  /** With all of its revisions. */
  remove(ref: string, options?: CallOptions): Promise<AppInfo>;
  /**
   * Makes a revision, and returns while it is still `queued`. This runtime works on it until it is over.
   *
   * @param options.admit asked before each sandbox that it needs is made
   * @throws SbxError `app_not_found`, `layer_not_found`, `sandbox_not_found`, `usage`
   */
  deploy(ref: string, spec: DeploySpec, options?: DeployOptions): Promise<RevisionInfo>;
  /**
   * Makes a revision that was built production: it is started and has to answer a request, and only then takes all new
   * ones. What is under way at the one before comes to its end there.
   *
   * @param revision the one that was production before if absent
   * @param options.admit asked before an instance is made
   * @throws SbxError `revision_not_found`, `usage` for one that was not built, `guest_error` with what it said if it does
   * not come up; production stays as it is then
   */
  activate(ref: string, revision?: string, options?: ActivateOptions): Promise<TimelineInfo>;
  /** By slug. */
  timelines(ref: string, options?: CallOptions): Promise<TimelineInfo[]>;
  /** What its programs said within the last day, in the order of time, and no more than {@link MAX_APP_LOG_LINES}. */
  logs(ref: string, options?: AppLogOptions): Promise<AppLogLine[]>;
  readonly layers: LayerApi;
  readonly revisions: RevisionApi;
}
