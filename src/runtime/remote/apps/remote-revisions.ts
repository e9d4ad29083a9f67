/** Revisions of an organisation's apps through a control plane, by the published API. */
import type {
  BuildLogLine,
  BuildLogOptions,
  Progress,
  RevisionApi,
  RevisionInfo,
  RevisionStatus,
  TimelineInfo,
} from "../../apps.ts";
import type { CallOptions } from "../../types.ts";
import {
  buildLogAnswer,
  progressAnswer,
  revisionAnswer,
  revisionAnswers,
  timelineAnswers,
  toTimeline,
} from "./app-answers.ts";
import type { PublishedObjects } from "./published-objects.ts";

export class RemoteRevisions implements RevisionApi {
  readonly #objects: PublishedObjects;

  constructor(objects: PublishedObjects) {
    this.#objects = objects;
  }

  async list(
    app: string,
    { status, ...call }: CallOptions & { status?: RevisionStatus } = {},
  ): Promise<RevisionInfo[]> {
    return this.#objects.list(revisionAnswers(), this.#objects.at(["apps", app, "revisions"], { status }), call);
  }

  async get(id: string, options: CallOptions = {}): Promise<RevisionInfo> {
    return this.#objects.get(revisionAnswer(), ["revisions", id], options);
  }

  async cancel(id: string, options: CallOptions = {}): Promise<RevisionInfo> {
    return this.#objects.send("POST", revisionAnswer(), ["revisions", id, "cancel"], {}, options);
  }

  async remove(id: string, options: CallOptions = {}): Promise<RevisionInfo> {
    const revision = await this.get(id, options);
    await this.#objects.remove(["revisions", id], options);
    return revision;
  }

  async keep(id: string, isKept: boolean, options: CallOptions = {}): Promise<RevisionInfo> {
    const body = { retention: isKept ? "indefinite" : "auto" };
    return this.#objects.send("PATCH", revisionAnswer(), ["revisions", id], body, options);
  }

  progress(id: string, options: CallOptions = {}): AsyncIterable<Progress> {
    return this.#objects.follow(progressAnswer(), ["revisions", id, "progress"], options);
  }

  buildLogs(id: string, { step, timeline, ...call }: BuildLogOptions = {}): AsyncIterable<BuildLogLine> {
    return this.#objects.follow(buildLogAnswer(), ["revisions", id, "build_logs"], call, { step, timeline });
  }

  async timelines(id: string, options: CallOptions = {}): Promise<TimelineInfo[]> {
    const found = await this.#objects.get(timelineAnswers(), ["revisions", id, "timelines"], options);
    return found.map((timeline) => toTimeline(timeline, id));
  }
}
