/** Objects of apps as the API has them: their schemas, and how they are made of the runtime's. */
import { z } from "zod";
import { contextsSchema } from "../../protocol/app-records.ts";
import {
  BUILD_STEPS,
  FAILURE_REASONS,
  FRAMEWORKS,
  REVISION_STATUSES,
  type AppConfig,
} from "../../protocol/app-values.ts";
import type { Call } from "./route.ts";
import type { AppInfo, AppLogLine, EnvVariable, LayerInfo, RevisionInfo, TimelineInfo } from "../../runtime/apps.ts";

const labels = z.record(z.string(), z.string());
const time = z.iso.datetime();
const layerRef = z.object({ id: z.string(), slug: z.string() });

export const variableObject = z.object({
  id: z.string(),
  key: z.string(),
  value: z.string().optional().meta({ description: "absent for a secret" }),
  secret: z.boolean(),
  contexts: contextsSchema,
});

const configObject = z.object({
  framework: z.enum(FRAMEWORKS).optional(),
  install: z.string().nullish(),
  build: z.string().nullish(),
  predeploy: z.string().nullish(),
  crons: z.boolean().optional(),
  runtime: z
    .union([
      z.object({ type: z.literal("dynamic"), entrypoint: z.string().optional(), args: z.array(z.string()).optional() }),
      z.object({ type: z.literal("static"), cwd: z.string().optional(), spa: z.boolean().optional() }),
    ])
    .optional(),
});

export const appObject = z.object({
  ...{ id: z.string(), slug: z.string(), labels, env_vars: z.array(variableObject), config: configObject },
  ...{ layers: z.array(layerRef), created_at: time, updated_at: time },
});

export const layerObject = z.object({
  ...{ id: z.string(), slug: z.string(), description: z.string().optional(), layers: z.array(layerRef) },
  ...{ env_vars: z.array(variableObject), app_count: z.int(), created_at: time, updated_at: time },
});

export const layerAppObject = z.object({ id: z.string(), slug: z.string(), layer_position: z.int() });

export const revisionObject = z.object({
  ...{ id: z.string(), status: z.enum(REVISION_STATUSES), failure_reason: z.enum(FAILURE_REASONS).nullable() },
  ...{ labels, layers: z.array(layerRef), env_vars: z.array(z.object({ key: z.string(), value: z.string() })) },
  ...{ config: configObject, created_at: time, cancellation_requested_at: time.nullable() },
  ...{ build_finished_at: time.nullable(), deleted_at: time.nullable(), retention: z.enum(["auto", "indefinite"]) },
});

export const timelineObject = z.object({
  ...{ slug: z.string(), partition: z.record(z.string(), z.string()), app: layerRef },
  ...{ context: z.object({ slug: z.string() }), domains: z.array(z.object({ domain: z.string() })) },
});

export const logObject = z.object({
  ...{ timestamp: time, level: z.enum(["debug", "info", "warn", "error"]), message: z.string() },
  ...{ revision_id: z.string(), region: z.string() },
});

/** The cursor is in the link, too: the SDK for Python looks here, that for JavaScript there. */
export const logsObject = z.object({ logs: z.array(logObject), next_cursor: z.string().nullable() });

export const buildLogObject = z.object({
  ...{ timestamp: time, level: z.enum(["info", "error"]), message: z.string(), step: z.enum(BUILD_STEPS) },
  timeline: z.string().optional(),
});

export function toAppObject(app: AppInfo): z.output<typeof appObject> {
  return {
    ...{ id: app.id, slug: app.slug, labels: app.labels, env_vars: app.env.map(toVariableObject) },
    ...{ config: toConfigObject(app.config), layers: app.layers },
    ...{ created_at: iso(app.createdAt), updated_at: iso(app.updatedAt) },
  };
}

export function toLayerObject(layer: LayerInfo): z.output<typeof layerObject> {
  return {
    ...{ id: layer.id, slug: layer.slug },
    ...(layer.description === null ? {} : { description: layer.description }),
    ...{ layers: layer.layers, env_vars: layer.env.map(toVariableObject), app_count: layer.appCount },
    ...{ created_at: iso(layer.createdAt), updated_at: iso(layer.updatedAt) },
  };
}

export function toRevisionObject(revision: RevisionInfo): z.output<typeof revisionObject> {
  return {
    ...{ id: revision.id, status: revision.status, failure_reason: revision.failureReason, labels: revision.labels },
    ...{ layers: revision.layers, env_vars: revision.env, config: toConfigObject(revision.config) },
    ...{ created_at: iso(revision.createdAt), cancellation_requested_at: orNull(revision.cancelRequestedAt) },
    // One that was removed is not there any more.
    ...{ build_finished_at: orNull(revision.finishedAt), deleted_at: null },
    retention: revision.isKept ? "indefinite" : "auto",
  };
}

export function toTimelineObject(timeline: TimelineInfo, domains: readonly string[]): z.output<typeof timelineObject> {
  const { slug, app, context } = timeline;
  return { slug, partition: {}, app, context: { slug: context }, domains: domains.map((domain) => ({ domain })) };
}

/** Where a timeline is found, if the server has a gateway. */
export function domainsOf(
  { tenant, doors }: Pick<Call<unknown, unknown>, "tenant" | "doors">,
  { app, slug, revision }: TimelineInfo,
): string[] {
  if (slug !== "production" && revision === null) return [];
  const address = slug === "production" ? { app: app.slug } : { app: app.slug, revision: revision ?? "" };
  const host = doors.http?.appHost(tenant.organisation, address);
  return host === undefined ? [] : [host];
}

export function toLogObject({ time: at, level, message, revision }: AppLogLine) {
  return { timestamp: iso(at), level, message, revision_id: revision, region: "loc" };
}

export function iso(at: number): string {
  return new Date(at).toISOString();
}

function toVariableObject({ id, key, value, isSecret, contexts }: EnvVariable): z.output<typeof variableObject> {
  return { id, key, ...(value === null ? {} : { value }), secret: isSecret, contexts };
}

/** `crons` has a default that clients are told of. */
function toConfigObject(config: AppConfig): z.output<typeof configObject> {
  return { crons: true, ...config };
}

function orNull(at: number | null): string | null {
  return at === null ? null : iso(at);
}
