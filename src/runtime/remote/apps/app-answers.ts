/** Objects of apps as the published API has them, parsed, and what they are to the Runtime. All of it is a server's word. */
import * as z from "zod/mini";
import {
  APP_DOMAIN,
  BUILD_STEPS,
  FAILURE_REASONS,
  FRAMEWORKS,
  REVISION_STATUSES,
} from "../../../protocol/app-values.ts";
import type {
  AppConfig,
  AppInfo,
  AppLogLine,
  BuildLogLine,
  EnvVariable,
  LayerInfo,
  Progress,
  RevisionInfo,
  Stage,
  TimelineInfo,
} from "../../apps.ts";

const time = () =>
  z.pipe(
    z.iso.datetime({ offset: true }),
    z.transform((text) => Date.parse(text)),
  );
const ref = () => z.object({ id: z.string(), slug: z.string() });
const labels = () => z.record(z.string(), z.string());
const command = () => z.optional(z.nullable(z.string()));
const config = () =>
  z.object({
    framework: z.optional(z.enum(FRAMEWORKS)),
    ...{ install: command(), build: command(), predeploy: command(), crons: z.optional(z.boolean()) },
    runtime: z.optional(
      z.discriminatedUnion("type", [
        z.object({
          type: z.literal("dynamic"),
          entrypoint: z.optional(z.string()),
          args: z.optional(z.array(z.string())),
        }),
        z.object({ type: z.literal("static"), cwd: z.optional(z.string()), spa: z.optional(z.boolean()) }),
      ]),
    ),
  });
const variable = () =>
  z.object({
    ...{ id: z.string(), key: z.string(), value: z.optional(z.string()), secret: z.boolean() },
    contexts: z.union([z.literal("all"), z.array(z.string())]),
  });

const app = () =>
  z.object({
    ...{ id: z.string(), slug: z.string(), labels: labels(), env_vars: z.array(variable()), config: config() },
    ...{ layers: z.array(ref()), created_at: time(), updated_at: time() },
  });
export const appAnswer = () => z.pipe(app(), z.transform(toApp));
export const appAnswers = () => z.array(appAnswer());

const layer = () =>
  z.object({
    ...{ id: z.string(), slug: z.string(), description: z.optional(z.nullable(z.string())) },
    ...{ layers: z.array(ref()), env_vars: z.array(variable()), app_count: z.number() },
    ...{ created_at: time(), updated_at: time() },
  });
export const layerAnswer = () => z.pipe(layer(), z.transform(toLayer));
export const layerAnswers = () => z.array(layerAnswer());

export const layerUserAnswers = () =>
  z.array(
    z.pipe(
      z.object({ id: z.string(), slug: z.string(), layer_position: z.number() }),
      z.transform(({ id, slug, layer_position: position }) => ({ id, slug, position })),
    ),
  );

const revision = () =>
  z.object({
    ...{ id: z.string(), status: z.enum(REVISION_STATUSES), failure_reason: z.nullable(z.enum(FAILURE_REASONS)) },
    ...{ labels: z.optional(labels()), layers: z.optional(z.array(ref())), config: z.optional(config()) },
    env_vars: z.optional(z.array(z.object({ key: z.string(), value: z.string() }))),
    ...{ created_at: time(), cancellation_requested_at: z.nullable(time()) },
    ...{ build_finished_at: z.nullable(time()), retention: z.optional(z.enum(["auto", "indefinite"])) },
  });
export const revisionAnswer = () => z.pipe(revision(), z.transform(toRevision));
export const revisionAnswers = () => z.array(revisionAnswer());

/** The revision of a timeline is not told: only that of which one asked for its timelines is known. */
export const timelineAnswers = () =>
  z.array(
    z.object({
      ...{ slug: z.string(), app: ref(), context: z.object({ slug: z.string() }) },
      domains: z.optional(z.array(z.object({ domain: z.string().check(z.regex(APP_DOMAIN)) }))),
    }),
  );

export const logAnswers = () =>
  z.object({
    logs: z.array(
      z.pipe(
        z.object({
          ...{ timestamp: time(), level: z.string(), message: z.string(), revision_id: z.optional(z.string()) },
        }),
        z.transform(({ timestamp, level, message, revision_id: of = "" }): AppLogLine => ({
          ...{ time: timestamp, level: level === "error" ? "error" : "info", message, revision: of },
        })),
      ),
    ),
  });

export const buildLogAnswer = () =>
  z.pipe(
    z.object({
      ...{ timestamp: time(), level: z.string(), message: z.string(), step: z.enum(BUILD_STEPS) },
      timeline: z.optional(z.string()),
    }),
    z.transform(({ timestamp, level, ...rest }): BuildLogLine => ({
      ...{ time: timestamp, level: level === "error" ? "error" : "info", ...rest },
    })),
  );

const stage = () =>
  z.object({ status: z.string(), start: z.optional(z.nullable(time())), end: z.optional(z.nullable(time())) });
const timelineStage = () =>
  z.object({ slug: z.string(), predeploy: stage(), warmup: z.optional(stage()), routing: stage() });
export const progressAnswer = () =>
  z.pipe(
    z.object({
      ...{ queued: stage(), preparing: stage(), installing: stage(), building: stage() },
      deploying: z.extend(stage(), { timelines: z.array(timelineStage()) }),
    }),
    z.transform(({ queued, preparing, installing, building, deploying }): Progress => ({
      ...{ queued: toStage(queued), preparing: toStage(preparing), installing: toStage(installing) },
      ...{ building: toStage(building), deploying: toStage(deploying) },
      timelines: deploying.timelines.map(({ slug, predeploy, warmup, routing }) => ({
        ...{ slug, predeploy: toStage(predeploy), routing: toStage(routing) },
        warmup: warmup === undefined ? { status: "skipped" } : toStage(warmup),
      })),
    })),
  );

function toStage({ status, start, end }: z.output<ReturnType<typeof stage>>): Stage {
  switch (status) {
    case "succeeded":
    case "timed_out":
    case "cancelled":
    case "errored":
      return { status, start: start ?? 0, end: end ?? start ?? 0 };
    case "running":
      return { status, start: start ?? 0 };
    case "skipped":
      return { status };
    default:
      return { status: "pending" };
  }
}

function toApp({
  env_vars: env,
  created_at: createdAt,
  updated_at: updatedAt,
  ...rest
}: z.output<ReturnType<typeof app>>): AppInfo {
  return { ...rest, env: env.map(toVariable), instances: null, createdAt, updatedAt };
}

function toLayer(answer: z.output<ReturnType<typeof layer>>): LayerInfo {
  const { id, slug, description = null, layers, env_vars: env, app_count: appCount } = answer;
  const times = { createdAt: answer.created_at, updatedAt: answer.updated_at };
  return { id, slug, description, layers, env: env.map(toVariable), appCount, ...times };
}

function toVariable({ id, key, value, secret, contexts }: z.output<ReturnType<typeof variable>>): EnvVariable {
  return { id, key, value: secret ? null : (value ?? null), isSecret: secret, contexts };
}

function toRevision(answer: z.output<ReturnType<typeof revision>>): RevisionInfo {
  const noConfig: AppConfig = {};
  return {
    ...{ id: answer.id, app: null, status: answer.status, failureReason: answer.failure_reason, failure: null },
    ...{ labels: answer.labels ?? {}, layers: answer.layers ?? [], env: answer.env_vars ?? [] },
    ...{ config: answer.config ?? noConfig, content: null, createdAt: answer.created_at },
    ...{ cancelRequestedAt: answer.cancellation_requested_at, finishedAt: answer.build_finished_at },
    isKept: answer.retention === "indefinite",
  };
}

/** What a timeline is, as far as it is told. */
export function toTimeline(
  { slug, app: of, context, domains = [] }: z.output<ReturnType<typeof timelineAnswers>>[number],
  revisionId: string | null,
): TimelineInfo {
  const preview = /^preview\/(.+)$/.exec(slug)?.[1] ?? null;
  const name = context.slug === "production" ? "production" : "development";
  const hosts = domains.map(({ domain }) => domain);
  return { slug, app: of, context: name, revision: revisionId ?? preview, updatedAt: null, domains: hosts };
}
