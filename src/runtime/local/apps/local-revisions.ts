/** Revisions on this machine: their records and logs, whoever builds them. */
import { setTimeout as sleep } from "node:timers/promises";
import { appConfigSchema, labelsSchema, revisionVariableSchema } from "../../../protocol/app-records.ts";
import { MAX_VARIABLES } from "../../../protocol/app-values.ts";
import type { RevisionNetwork } from "../../../store/apps/app-documents.ts";
import type { RevisionRow } from "../../../store/apps/revision-store.ts";
import { throwIfAborted } from "../../abort.ts";
import type {
  ActivateOptions,
  Admission,
  AppConnection,
  BuildLogLine,
  BuildLogOptions,
  DeployOptions,
  DeploySpec,
  InstanceSettings,
  OpenAppOptions,
  Progress,
  RevisionApi,
  RevisionInfo,
  RevisionStatus,
  TimelineInfo,
} from "../../apps.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import {
  layerVariables,
  requireApp,
  resolveLayers,
  settingsOf,
  type AppContext,
  type AppRecord,
} from "./app-context.ts";
import { appNotFound, requireValid, revisionNotFound, usage } from "./app-faults.ts";
import { commandOf } from "./build-commands.ts";
import type { BuildLogs } from "./build-log.ts";
import type { InstanceName } from "./instances.ts";
import type { ContentStore } from "./content-store.ts";
import { failProgress, initialProgress } from "./progress.ts";

const POLL_MS = 150;
export const PRODUCTION = "production";
/** Of one app; before another is made, the oldest that is active nowhere is removed. */
const MAX_REVISIONS = 100;

/** Works on revisions. */
export interface RevisionWorker {
  /** Checks what is to be deployed. @throws SbxError */
  prepare(spec: DeploySpec, options: CallOptions): Promise<RevisionNetwork>;
  /** Builds it in the background. */
  start(id: string, spec: DeploySpec, admit?: Admission): void;
  /** Connects to it; it is started if it does not run. */
  openHttp(name: InstanceName, settings: Partial<InstanceSettings>, options: OpenAppOptions): Promise<AppConnection>;
  /** Has it run. @throws SbxError with what it said, if it does not come up */
  run(name: InstanceName, options: ActivateOptions): Promise<void>;
  /** Ends what runs of it when that has come to its end, unless somebody asks for it again. */
  retire(name: InstanceName): Promise<void>;
  /** Ends what runs of it. */
  release(id: string): Promise<void>;
}

export interface LocalRevisionsOptions {
  context: AppContext;
  logs: BuildLogs;
  contents: ContentStore;
  worker: RevisionWorker;
}

export class LocalRevisions implements RevisionApi {
  readonly #options: LocalRevisionsOptions;
  /** What production was when somebody last asked for it here, for each app. */
  readonly #served = new Map<string, string>();

  constructor(options: LocalRevisionsOptions) {
    this.#options = options;
  }

  async deploy(app: AppRecord, spec: DeploySpec, options: DeployOptions): Promise<RevisionInfo> {
    throwIfAborted(options.signal, "deploying");
    const { context, worker } = this.#options;
    const labels = requireValid(labelsSchema, spec.labels ?? {}, "labels");
    const config = requireValid(appConfigSchema, spec.config ?? app.document.config, "config");
    const env = checkVariables(
      (spec.env ?? []).map((variable) => requireValid(revisionVariableSchema, variable, "env")),
    );
    const layers = spec.layers === undefined ? app.layers : resolveLayers(context, spec.layers);
    const network = await worker.prepare(spec, options);
    await this.#makeRoom(app.id);
    const id = context.ids.revision();
    const timelines = [...(spec.production ? [PRODUCTION] : []), ...(spec.preview ? [previewOf(id)] : [])];
    const createdAt = context.now();
    context.revisions.insert({
      ...{ id, app: requireApp(context, app.id).id, createdAt },
      document: {
        ...{ labels, env, config, network, contentBytes: null, failureReason: null, failure: null, finishedAt: null },
        isKept: spec.isKept ?? false,
        layers: layers.map((layer) => ({ id: layer.id, slug: layer.slug })),
        inherited: [...layerVariables(context, layers), ...app.document.env],
        progress: initialProgress(timelines, commandOf(config.predeploy) !== undefined, createdAt),
      },
    });
    worker.start(id, spec, options.admit);
    return toRevision(this.#require(id));
  }

  async list(app: string, options: CallOptions & { status?: RevisionStatus } = {}): Promise<RevisionInfo[]> {
    throwIfAborted(options.signal, "listing the revisions");
    this.settle();
    const { id } = requireApp(this.#options.context, app);
    const rows = this.#options.context.revisions.list(id);
    return rows.filter(({ status }) => options.status === undefined || status === options.status).map(toRevision);
  }

  async get(id: string, { signal }: CallOptions = {}): Promise<RevisionInfo> {
    throwIfAborted(signal, "looking for the revision");
    this.settle();
    return toRevision(this.#require(id));
  }

  async cancel(id: string, { signal }: CallOptions = {}): Promise<RevisionInfo> {
    throwIfAborted(signal, "cancelling the revision");
    this.settle();
    this.#require(id);
    const { context } = this.#options;
    context.revisions.requestCancel(id, context.now());
    return toRevision(this.#require(id));
  }

  async remove(id: string, { signal }: CallOptions = {}): Promise<RevisionInfo> {
    throwIfAborted(signal, "removing the revision");
    this.settle();
    const row = this.#require(id);
    if (!isOver(row)) throw inUse(id, "is being built", `sbx app revisions ${row.app.slug}`);
    const active = this.#options.context.revisions.timelines({ revision: id });
    if (active.some(({ slug }) => slug === PRODUCTION)) {
      throw inUse(id, "is what production runs", "deploy another one first");
    }
    if (!(await this.#forget(row, PRODUCTION)))
      throw inUse(id, "has just become production", "deploy another one first");
    return toRevision(row);
  }

  async keep(id: string, isKept: boolean, { signal }: CallOptions = {}): Promise<RevisionInfo> {
    throwIfAborted(signal, "changing the revision");
    this.#require(id);
    this.#options.context.revisions.change(id, { document: { isKept } });
    return toRevision(this.#require(id));
  }

  async *progress(id: string, { signal }: CallOptions = {}): AsyncIterable<Progress> {
    let last = "";
    for (;;) {
      throwIfAborted(signal, "following the revision");
      this.settle();
      const row = this.#require(id);
      const text = JSON.stringify(row.document.progress);
      if (text !== last) yield row.document.progress;
      last = text;
      if (isOver(row)) return;
      await sleep(POLL_MS);
    }
  }

  async *buildLogs(id: string, { signal, step, timeline }: BuildLogOptions = {}): AsyncIterable<BuildLogLine> {
    let position = 0;
    for (;;) {
      throwIfAborted(signal, "reading the build log");
      this.settle();
      // Looked at before the file: what was written until then is all there is.
      const wasOver = isOver(this.#require(id));
      const read = await this.#options.logs.read(id, position);
      for (const line of read.lines) {
        if (step !== undefined && line.step !== step) continue;
        if (timeline === undefined || line.timeline === timeline) yield line;
      }
      const isEnd = read.position === position;
      position = read.position;
      if (isEnd && wasOver) return;
      if (isEnd) await sleep(POLL_MS);
    }
  }

  async timelines(id: string, { signal }: CallOptions = {}): Promise<TimelineInfo[]> {
    throwIfAborted(signal, "looking for the revision's timelines");
    return this.timelinesOf({ revision: this.#require(id).id });
  }

  timelinesOf(where: { app: string } | { revision: string }): TimelineInfo[] {
    const rows = this.#options.context.revisions.timelines(where);
    return rows.map((row) => ({
      ...row,
      context: row.slug === PRODUCTION ? "production" : "development",
      domains: [],
    }));
  }

  /** Starts it, and has it be production once it answers. */
  async activate(app: AppRecord, wanted: string | undefined, options: ActivateOptions): Promise<TimelineInfo> {
    const { signal } = options;
    throwIfAborted(signal, "activating the revision");
    this.settle();
    const { context, worker } = this.#options;
    const row = wanted === undefined ? this.#before(app) : this.#require(wanted);
    if (row.app.id !== app.id) throw revisionNotFound(row.id);
    if (row.status !== "succeeded")
      throw usage(`the revision ${row.id} was not built`, `sbx app revisions ${app.slug}`);
    await worker.run({ revision: row.id, context: PRODUCTION }, options);
    throwIfAborted(signal, "activating the revision");
    if (!context.revisions.activate(app.id, PRODUCTION, row.id, context.now())) throw revisionNotFound(row.id);
    const active = this.timelinesOf({ app: app.id }).find(({ slug }) => slug === PRODUCTION);
    if (active === undefined) throw revisionNotFound(row.id);
    return active;
  }

  /** Of production, or of a preview. */
  async openHttp(app: AppRecord, preview: string | undefined, options: OpenAppOptions): Promise<AppConnection> {
    const slug = preview === undefined ? PRODUCTION : previewOf(preview);
    const revision = this.#activeIn(app.id, slug);
    if (revision === undefined) throw appNotFound(app.slug);
    const context = slug === PRODUCTION ? PRODUCTION : "development";
    const connection = await this.#options.worker.openHttp({ revision, context }, settingsOf(app.document), options);
    // The switch may have been made by another process: each request asks.
    const goOn = (): boolean => this.#activeIn(app.id, slug) === revision && connection.goOn();
    return { ...connection, goOn };
  }

  /** Notices what another process has switched. */
  #activeIn(app: string, slug: string): string | undefined {
    const revision = this.#options.context.revisions.activeIn(app, slug);
    if (slug !== PRODUCTION || revision === undefined) return revision;
    const before = this.#served.get(app);
    this.#served.set(app, revision);
    if (before !== undefined && before !== revision) {
      void this.#options.worker.retire({ revision: before, context: PRODUCTION }).catch(() => undefined);
    }
    return revision;
  }

  /** The one that was production before the one that is. */
  #before(app: AppRecord): RevisionRow {
    const { revisions } = this.#options.context;
    const active = revisions.activeIn(app.id, PRODUCTION);
    const [last] = revisions
      .list(app.id)
      .filter(({ id, document }) => id !== active && document.productionAt !== undefined)
      .toSorted((a, b) => (b.document.productionAt ?? 0) - (a.document.productionAt ?? 0));
    if (active !== undefined && last !== undefined) return last;
    throw usage(`${app.slug} has had no other revision in production`, `sbx app revisions ${app.slug}`);
  }

  /** All of an app, for its end; those that are being built are given up. */
  async removeAll(app: string): Promise<void> {
    const { context } = this.#options;
    for (const row of context.revisions.list(app)) {
      context.revisions.requestCancel(row.id, context.now());
      await this.#forget(row);
    }
  }

  /** Revisions whose makers are gone have failed. */
  settle(): void {
    const { context } = this.#options;
    for (const { id, document } of context.revisions.abandoned()) {
      const now = context.now();
      const progress = failProgress(document.progress, "errored", now);
      const failure = "the process that built it is gone";
      const change = { failureReason: "error" as const, failure, finishedAt: now, progress };
      context.revisions.change(id, { status: "failed", document: change });
    }
  }

  async #makeRoom(app: string): Promise<void> {
    const { revisions } = this.#options.context;
    const rows = revisions.list(app);
    if (rows.length < MAX_REVISIONS) return;
    const active = new Set(revisions.timelines({ app }).map(({ revision }) => revision));
    const oldest = rows.toReversed().find((row) => isOver(row) && !row.document.isKept && !active.has(row.id));
    if (oldest === undefined) throw usage(`an app has at most ${MAX_REVISIONS} revisions`, "remove some of them first");
    await this.#forget(oldest, PRODUCTION);
  }

  /** False, with nothing lost but what ran of it, if it has become active in the timeline `unless` meanwhile. */
  async #forget({ id, content }: RevisionRow, unless?: string): Promise<boolean> {
    const { context, logs, contents, worker } = this.#options;
    await worker.release(id);
    if (!context.revisions.remove(id, unless)) return false;
    logs.remove(id);
    if (content !== null) await contents.forget(content);
    return true;
  }

  #require(id: string): RevisionRow {
    const row = this.#options.context.revisions.get(id);
    if (row === undefined) throw revisionNotFound(id);
    return row;
  }
}

/** The timeline of a revision's own. */
export function previewOf(revision: string): string {
  return `preview/${revision}`;
}

function isOver({ status }: RevisionRow): boolean {
  return status !== "queued" && status !== "building";
}

function toRevision({ id, app, status, content, createdAt, cancelRequestedAt, document }: RevisionRow): RevisionInfo {
  const { failureReason, failure, labels, layers, env, config, finishedAt, contentBytes, isKept } = document;
  return {
    ...{ id, app, status, failureReason, failure, labels, layers, env, config },
    content: content === null ? null : { sha256: content, bytes: contentBytes ?? 0 },
    ...{ createdAt, cancelRequestedAt, finishedAt, isKept },
  };
}

function checkVariables(env: { key: string; value: string }[]): { key: string; value: string }[] {
  if (env.length > MAX_VARIABLES) throw usage(`there can be ${MAX_VARIABLES} variables, not ${env.length}`);
  const twice = env.find(({ key }, at) => env.findIndex((other) => other.key === key) < at);
  if (twice !== undefined) throw usage(`the variable ${twice.key} is given twice`);
  return env;
}

function inUse(id: string, why: string, hint: string): SbxError {
  return new SbxError("revision_in_use", `the revision ${id} ${why}`, { hint });
}
