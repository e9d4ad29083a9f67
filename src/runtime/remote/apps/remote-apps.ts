/** Apps of an organisation through a control plane, by the published API, and by sbx's own calls for what that has no words for. */
import type {
  ActivateOptions,
  AppApi,
  AppChange,
  AppInfo,
  AppLogLine,
  AppLogOptions,
  AppSpec,
  DeploySpec,
  InstanceSettings,
  LayerApi,
  RevisionApi,
  RevisionInfo,
  TimelineInfo,
} from "../../apps.ts";
import { MAX_APP_LOG_LINES } from "../../apps.ts";
import type { CallOptions } from "../../types.ts";
import * as z from "zod/mini";
import type { ControlClient } from "../control-client.ts";
import { appAnswer, appAnswers, logAnswers, revisionAnswer, timelineAnswers, toTimeline } from "./app-answers.ts";
import { appBody, deployBody, deploySandboxBody } from "./app-bodies.ts";
import { PublishedObjects } from "./published-objects.ts";
import { RemoteLayers } from "./remote-layers.ts";
import { RemoteRevisions } from "./remote-revisions.ts";
import { unsupported } from "../unsupported.ts";

const LOG_PAGE = 1000;

export class RemoteApps implements AppApi {
  readonly layers: LayerApi;
  readonly revisions: RevisionApi;
  readonly #client: ControlClient;
  readonly #objects: PublishedObjects;

  constructor(client: ControlClient) {
    this.#client = client;
    this.#objects = new PublishedObjects(client);
    this.layers = new RemoteLayers(this.#objects);
    this.revisions = new RemoteRevisions(this.#objects);
  }

  async create(spec: AppSpec, options: CallOptions = {}): Promise<AppInfo> {
    const { instances = {}, ...rest } = spec;
    await this.#requireSettings(instances, options);
    const app = await this.#objects.send("POST", appAnswer(), ["apps"], appBody(rest), options);
    try {
      return await this.#configure(app, instances, options);
    } catch (error) {
      await this.#objects.remove(["apps", app.id], {}).catch(() => undefined);
      throw error;
    }
  }

  async list(options: CallOptions & { labels?: Record<string, string>; layer?: string } = {}): Promise<AppInfo[]> {
    const { labels = {}, layer, ...call } = options;
    const url = this.#objects.at(["apps"], { layer });
    for (const [key, value] of Object.entries(labels)) url.searchParams.set(`labels[${key}]`, value);
    const found = await this.#objects.list(appAnswers(), url, call);
    if (found.length === 0 || !(await this.#client.offers("app.instances", call))) return found;
    const settings = await this.#client.call("app.instances", {}, call);
    const byId = new Map(settings.map(({ id, instances }) => [id, instances]));
    return found.map((app) => ({ ...app, instances: byId.get(app.id) ?? null }));
  }

  async get(ref: string, options: CallOptions = {}): Promise<AppInfo> {
    return this.#withSettings(await this.#objects.get(appAnswer(), ["apps", ref], options), options);
  }

  async update(ref: string, change: AppChange, options: CallOptions = {}): Promise<AppInfo> {
    const { instances = {}, ...rest } = change;
    await this.#requireSettings(instances, options);
    const app =
      Object.keys(rest).length === 0
        ? await this.#objects.get(appAnswer(), ["apps", ref], options)
        : await this.#objects.send("PATCH", appAnswer(), ["apps", ref], appBody(rest), options);
    return this.#configure(app, instances, options);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<AppInfo> {
    const app = await this.get(ref, options);
    await this.#objects.remove(["apps", app.id], options);
    return app;
  }

  /** The server counts the instance itself: `admit` is not asked. */
  async activate(app: string, revision?: string, { signal }: ActivateOptions = {}): Promise<TimelineInfo> {
    const call = signal === undefined ? {} : { signal };
    if (!(await this.#client.offers("app.activate", call))) {
      throw unsupported(
        "the server has no call that makes a revision production which was built before",
        "deploy it again: sbx deploy",
      );
    }
    return this.#client.call("app.activate", { app, ...(revision !== undefined && { revision }) }, call);
  }

  async deploy(ref: string, spec: DeploySpec, options: CallOptions = {}): Promise<RevisionInfo> {
    const { source } = spec;
    if (source.kind === "assets") {
      const body = deployBody(source.assets, spec);
      return this.#objects.send("POST", revisionAnswer(), ["apps", ref, "deploy"], body, options);
    }
    const { slug } = await this.get(ref, options);
    const body = deploySandboxBody(slug, source, spec);
    const answer = z.object({ revision_id: z.string() });
    const place = ["sandboxes", source.sandbox, "deploy"];
    const { revision_id: id } = await this.#objects.send("POST", answer, place, body, options);
    return this.revisions.get(id, options);
  }

  async timelines(ref: string, options: CallOptions = {}): Promise<TimelineInfo[]> {
    if (await this.#client.offers("app.timelines", options)) {
      return this.#client.call("app.timelines", { app: ref }, options);
    }
    // The published list does not say what is active in production.
    const found = await this.#objects.list(timelineAnswers(), this.#objects.at(["apps", ref, "timelines"]), options);
    return found.map((timeline) => toTimeline(timeline, null));
  }

  /** @throws SbxError `unsupported`, before anything was changed */
  async #requireSettings(instances: Partial<InstanceSettings>, options: CallOptions): Promise<void> {
    if (Object.keys(instances).length === 0 || (await this.#client.offers("app.configure", options))) return;
    throw unsupported(
      "the server decides itself how instances are kept",
      "leave out --idle, --concurrency, --instances",
    );
  }

  async #configure(app: AppInfo, instances: Partial<InstanceSettings>, options: CallOptions): Promise<AppInfo> {
    if (Object.keys(instances).length === 0) return this.#withSettings(app, options);
    return { ...app, instances: await this.#client.call("app.configure", { app: app.id, instances }, options) };
  }

  async #withSettings(app: AppInfo, options: CallOptions): Promise<AppInfo> {
    if (!(await this.#client.offers("app.instances", options))) return app;
    const [found] = await this.#client.call("app.instances", { app: app.id }, options);
    return { ...app, instances: found?.instances ?? null };
  }

  async logs(ref: string, options: AppLogOptions = {}): Promise<AppLogLine[]> {
    const { since = 0, until, revision, signal } = options;
    const iso = (time: number | undefined): string | undefined =>
      time === undefined ? undefined : new Date(time).toISOString();
    const query = { start: iso(since), end: iso(until), revision_id: revision, limit: LOG_PAGE };
    // Pages of an object, not of a list.
    const pages = this.#objects.at(["apps", ref, "logs"], query);
    const answers = z.pipe(
      logAnswers(),
      z.transform(({ logs }) => logs),
    );
    const lines = await this.#objects.list(answers, pages, signal === undefined ? {} : { signal });
    return lines.slice(0, MAX_APP_LOG_LINES);
  }
}
