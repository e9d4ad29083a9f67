/** Revisions: what was deployed, how far it is, and what was said while it was built. */
import { z } from "zod";
import { BUILD_STEPS, REVISION_STATUSES } from "../../protocol/app-values.ts";
import { defined, retentionBody } from "./app-bodies.ts";
import {
  buildLogObject,
  iso,
  revisionObject,
  timelineObject,
  toRevisionObject,
  toTimelineObject,
  domainsOf,
} from "./app-objects.ts";
import { STREAM_TYPES, streamAnswer, streamForm } from "./event-answer.ts";
import { answerPage, pageQuery } from "./pagination.ts";
import { progressObject, toProgressObject } from "./progress-object.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

const listQuery = pageQuery.omit({ search: true }).extend({ status: z.enum(REVISION_STATUSES).optional() });
const buildLogQuery = z.object({ step: z.enum(BUILD_STEPS).optional(), timeline: z.string().max(128).optional() });

type PlainCall = Call<unknown, unknown>;

async function list({ tenant, params, query, url }: Call<z.output<typeof listQuery>, unknown>): Promise<Answer> {
  const { status } = query;
  const { revisions } = tenant.runtime.apps;
  const found = await revisions.list(params.app ?? "", status === undefined ? {} : { status });
  return answerPage(found, query, url, toRevisionObject);
}

async function get({ tenant, params }: PlainCall): Promise<Answer> {
  return { status: 200, body: toRevisionObject(await tenant.runtime.apps.revisions.get(params.id ?? "")) };
}

async function retain({ tenant, params, body }: Call<unknown, z.output<typeof retentionBody>>): Promise<Answer> {
  const { revisions } = tenant.runtime.apps;
  const revision = await revisions.keep(params.id ?? "", body.retention === "indefinite");
  return { status: 200, body: toRevisionObject(revision) };
}

async function remove({ tenant, params }: PlainCall): Promise<Answer> {
  await tenant.runtime.apps.revisions.remove(params.id ?? "");
  return { status: 204 };
}

async function cancel({ tenant, params }: PlainCall): Promise<Answer> {
  return { status: 200, body: toRevisionObject(await tenant.runtime.apps.revisions.cancel(params.id ?? "")) };
}

async function timelines(call: PlainCall): Promise<Answer> {
  const { tenant, params } = call;
  const found = await tenant.runtime.apps.revisions.timelines(params.id ?? "");
  return { status: 200, body: found.map((timeline) => toTimelineObject(timeline, domainsOf(call, timeline))) };
}

async function progress({ tenant, params, accept, ending }: PlainCall): Promise<Answer> {
  const { revisions } = tenant.runtime.apps;
  // Looked for before the stream begins: what is not there is a plain 404.
  const { id, config } = await revisions.get(params.id ?? "");
  const items = mapped(revisions.progress(id, { signal: ending }), (one) => toProgressObject(one, config));
  return streamAnswer(items, streamForm(accept, "lines"));
}

async function buildLogs(call: Call<z.output<typeof buildLogQuery>, unknown>): Promise<Answer> {
  const { revisions } = call.tenant.runtime.apps;
  const { id } = await revisions.get(call.params.id ?? "");
  const lines = revisions.buildLogs(id, { ...defined(call.query), signal: call.ending });
  const items = mapped(lines, ({ time, ...line }) => ({ timestamp: iso(time), ...line }));
  return streamAnswer(items, streamForm(call.accept, "events"));
}

async function* mapped<T, U>(items: AsyncIterable<T>, render: (item: T) => U): AsyncIterable<U> {
  for await (const item of items) yield render(item);
}

export const REVISION_ROUTES: readonly Route[] = [
  route({
    ...{ method: "GET", path: "/api/v2/apps/:app/revisions", summary: "Revisions of an app", scope: "read" },
    query: listQuery,
    success: { status: 200, schema: z.array(revisionObject) },
    errors: ["APP_NOT_FOUND"],
    handle: list,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/revisions/:id", summary: "One revision", scope: "read" },
    success: { status: 200, schema: revisionObject },
    errors: ["REVISION_NOT_FOUND"],
    handle: get,
  }),
  route({
    ...{ method: "PATCH", path: "/api/v2/revisions/:id", summary: "Keep a revision, or not", scope: "apps" },
    body: retentionBody,
    success: { status: 200, schema: revisionObject },
    errors: ["REVISION_NOT_FOUND"],
    handle: retain,
  }),
  route({
    ...{ method: "DELETE", path: "/api/v2/revisions/:id", summary: "Remove a revision", scope: "apps" },
    success: { status: 204, schema: null },
    errors: ["REVISION_NOT_FOUND", "REVISION_IN_USE"],
    handle: remove,
  }),
  route({
    ...{ method: "POST", path: "/api/v2/revisions/:id/cancel", summary: "Give up a build", scope: "apps" },
    success: { status: 200, schema: revisionObject },
    errors: ["REVISION_NOT_FOUND"],
    handle: cancel,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/revisions/:id/timelines", summary: "Where it is active", scope: "read" },
    success: { status: 200, schema: z.array(timelineObject) },
    errors: ["REVISION_NOT_FOUND"],
    handle: timelines,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/revisions/:id/progress", summary: "How far it is, until it is over" },
    scope: "read",
    success: { status: 200, schema: progressObject, types: STREAM_TYPES },
    errors: ["REVISION_NOT_FOUND"],
    handle: progress,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/revisions/:id/build_logs", summary: "Its build log, until it is over" },
    ...{ scope: "read", query: buildLogQuery },
    success: { status: 200, schema: buildLogObject, types: STREAM_TYPES },
    errors: ["REVISION_NOT_FOUND"],
    handle: buildLogs,
  }),
];
