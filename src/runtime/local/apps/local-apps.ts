/** Apps on this machine: their records, and what is deployed to them. */
import { appConfigSchema, instanceSettingsSchema, labelsSchema } from "../../../protocol/app-records.ts";
import { DEFAULT_INSTANCE_SETTINGS } from "../../../protocol/app-values.ts";
import type {
  ActivateOptions,
  AppAddress,
  AppApi,
  AppChange,
  AppConnection,
  AppDoor,
  AppInfo,
  AppLogLine,
  AppLogOptions,
  AppSpec,
  DeployOptions,
  DeploySpec,
  OpenAppOptions,
  LayerApi,
  RevisionApi,
  RevisionInfo,
  TimelineInfo,
} from "../../apps.ts";
import { throwIfAborted } from "../../abort.ts";
import type { CallOptions } from "../../types.ts";
import { requireApp, resolveLayers, settingsOf, toolsFor, type AppContext, type AppRecord } from "./app-context.ts";
import { appNotFound, requireValid, slugInUse } from "./app-faults.ts";
import { readAppLogs } from "./app-logs.ts";
import type { AppRuntime } from "./instances.ts";
import { LocalLayers } from "./local-layers.ts";
import type { LocalRevisions } from "./local-revisions.ts";
import { checkSlug } from "./slugs.ts";
import { mergeVariables, newVariables, toEnvVariable } from "./variables.ts";

export class LocalApps implements AppApi, AppDoor {
  readonly layers: LayerApi;
  readonly revisions: RevisionApi;
  readonly #context: AppContext;
  readonly #revisions: LocalRevisions;
  readonly #runtime: Pick<AppRuntime, "list" | "logs">;

  constructor(context: AppContext, revisions: LocalRevisions, runtime: Pick<AppRuntime, "list" | "logs">) {
    this.#runtime = runtime;
    this.#context = context;
    this.#revisions = revisions;
    this.revisions = revisions;
    this.layers = new LocalLayers(context);
  }

  async create(spec: AppSpec, { signal }: CallOptions = {}): Promise<AppInfo> {
    throwIfAborted(signal, "making the app");
    const { apps, ids, now } = this.#context;
    const labels = requireValid(labelsSchema, spec.labels ?? {}, "labels");
    const config = requireValid(appConfigSchema, spec.config ?? {}, "config");
    const instances = requireValid(instanceSettingsSchema, spec.instances ?? {}, "instances");
    const given = spec.slug === undefined ? undefined : checkSlug(spec.slug);
    const env = newVariables(spec.env ?? [], await toolsFor(this.#context, spec.env));
    const id = this.#context.ids.uuid();
    apps.atOnce(() => {
      const isFree = (slug: string): boolean => apps.find(slug) === undefined;
      const slug = given ?? ids.slug(isFree);
      if (!isFree(slug)) throw slugInUse("app", slug);
      const layers = resolveLayers(this.#context, spec.layers ?? []).map((layer) => layer.id);
      apps.insert({ id, slug, createdAt: now(), document: { labels, env, config, instances }, layers });
    });
    return this.get(id);
  }

  async list(options: CallOptions & { labels?: Record<string, string>; layer?: string } = {}): Promise<AppInfo[]> {
    throwIfAborted(options.signal, "listing the apps");
    const { labels = {}, layer } = options;
    const wanted = Object.entries(labels);
    const hasLayer = (app: AppRecord): boolean =>
      layer === undefined || app.layers.some(({ id, slug }) => id === layer || slug === layer);
    const hasLabels = ({ document }: AppRecord): boolean =>
      wanted.every(([key, value]) => Object.hasOwn(document.labels, key) && document.labels[key] === value);
    return this.#context.apps
      .list()
      .filter((app) => hasLayer(app) && hasLabels(app))
      .map(toApp);
  }

  async get(ref: string, { signal }: CallOptions = {}): Promise<AppInfo> {
    throwIfAborted(signal, "looking for the app");
    return toApp(requireApp(this.#context, ref));
  }

  async update(ref: string, change: AppChange, { signal }: CallOptions = {}): Promise<AppInfo> {
    throwIfAborted(signal, "changing the app");
    const { apps, now } = this.#context;
    const { id } = requireApp(this.#context, ref);
    const tools = await toolsFor(this.#context, change.env);
    apps.atOnce(() => {
      const current = requireApp(this.#context, id);
      const { document } = current;
      const slug = change.slug === undefined ? current.slug : checkSlug(change.slug);
      const other = apps.find(slug);
      if (other !== undefined && other.id !== id) throw slugInUse("app", slug);
      const labels = requireValid(labelsSchema, change.labels ?? document.labels, "labels");
      const config = requireValid(appConfigSchema, change.config ?? document.config, "config");
      const instances = requireValid(
        instanceSettingsSchema,
        { ...document.instances, ...change.instances },
        "instances",
      );
      const env = mergeVariables(document.env, change.env ?? [], tools);
      const layers = change.layers === undefined ? current.layers : resolveLayers(this.#context, change.layers);
      const next = { slug, document: { labels, env, config, instances }, layers: layers.map((layer) => layer.id) };
      apps.update(id, next, Math.max(now(), current.updatedAt + 1));
    });
    return this.get(id);
  }

  async remove(ref: string, { signal }: CallOptions = {}): Promise<AppInfo> {
    throwIfAborted(signal, "removing the app");
    const app = requireApp(this.#context, ref);
    await this.#revisions.removeAll(app.id);
    this.#context.apps.atOnce(() => {
      this.#context.revisions.removeOfApp(app.id);
      this.#context.apps.remove(app.id);
    });
    return toApp(app);
  }

  async deploy(ref: string, spec: DeploySpec, options: DeployOptions = {}): Promise<RevisionInfo> {
    return this.#revisions.deploy(requireApp(this.#context, ref), spec, options);
  }

  async logs(ref: string, options: AppLogOptions = {}): Promise<AppLogLine[]> {
    throwIfAborted(options.signal, "reading the logs");
    const { id } = requireApp(this.#context, ref);
    const revisions = this.#context.revisions.list(id).map((revision) => revision.id);
    return readAppLogs(this.#runtime, revisions, options);
  }

  async openHttp({ app, revision }: AppAddress, options: OpenAppOptions = {}): Promise<AppConnection> {
    throwIfAborted(options.signal, "connecting to the app");
    const found = this.#context.apps.find(app);
    // By its slug: an id is no part of an address.
    if (found?.slug !== app) throw appNotFound(app);
    return this.#revisions.openHttp(found, revision, options);
  }

  async activate(ref: string, revision?: string, options: ActivateOptions = {}): Promise<TimelineInfo> {
    return this.#revisions.activate(requireApp(this.#context, ref), revision, options);
  }

  async timelines(ref: string, { signal }: CallOptions = {}): Promise<TimelineInfo[]> {
    throwIfAborted(signal, "listing the timelines");
    return this.#revisions.timelinesOf({ app: requireApp(this.#context, ref).id });
  }
}

function toApp({ id, slug, document, layers, createdAt, updatedAt }: AppRecord): AppInfo {
  const { labels, config, env } = document;
  const instances = { ...DEFAULT_INSTANCE_SETTINGS, ...settingsOf(document) };
  return { id, slug, labels, config, env: env.map(toEnvVariable), instances, layers, createdAt, updatedAt };
}
