/** Apps: what is deployed, their timelines and their logs. */
import { z } from "zod";
import type { AppLogLine } from "../../runtime/apps.ts";
import { ApiError } from "../api-error.ts";
import { createAppBody, defined, updateAppBody } from "./app-bodies.ts";
import {
  appObject,
  logObject,
  logsObject,
  timelineObject,
  toAppObject,
  toLogObject,
  toTimelineObject,
  domainsOf,
} from "./app-objects.ts";
import { streamAnswer } from "./event-answer.ts";
import { streamLogs } from "../../runtime/app-log-stream.ts";
import { answerPage, cursorParameter, pageQuery } from "./pagination.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

const MAX_LOG_LIMIT = 1000;
const DEFAULT_LOG_LIMIT = 100;

const listQuery = pageQuery.omit({ search: true }).extend({
  layer: z.string().max(256).optional(),
  labels: z.record(z.string(), z.string()).default({}),
});

const moment = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const LEVELS = ["debug", "info", "warn", "error"] as const;
const logsQuery = z.object({
  ...{ start: moment, end: moment.optional(), revision_id: z.string().max(64).optional() },
  ...{
    level: z.enum(LEVELS).optional(),
    query: z.string().max(256).optional(),
    cursor: cursorParameter.optional(),
  },
  limit: z.coerce.number().int().min(1).max(MAX_LOG_LIMIT).default(DEFAULT_LOG_LIMIT),
  stream: z.stringbool().default(false),
});

async function create({ tenant, body, signal }: Call<unknown, z.output<typeof createAppBody>>): Promise<Answer> {
  const { env_vars: env, ...rest } = body;
  const spec = defined({ ...rest, env });
  const app = await tenant.admitApp("apps", async () => tenant.runtime.apps.create(spec, { signal }));
  return { status: 201, body: toAppObject(app) };
}

async function list({ tenant, query, url, signal }: Call<z.output<typeof listQuery>, unknown>): Promise<Answer> {
  const { labels, layer } = query;
  const apps = await tenant.runtime.apps.list({ labels, ...(layer === undefined ? {} : { layer }), signal });
  // The latest change first: for a page it is what the time of making is elsewhere.
  const items = apps.map((app) => ({ id: app.id, createdAt: app.updatedAt, app }));
  return answerPage(items, query, url, ({ app }) => toAppObject(app));
}

async function get({ tenant, params, signal }: Call<unknown, unknown>): Promise<Answer> {
  return { status: 200, body: toAppObject(await tenant.runtime.apps.get(params.app ?? "", { signal })) };
}

async function update(call: Call<unknown, z.output<typeof updateAppBody>>): Promise<Answer> {
  const { env_vars: env, ...rest } = call.body;
  const change = defined({ ...rest, env });
  const app = await call.tenant.runtime.apps.update(call.params.app ?? "", change, { signal: call.signal });
  return { status: 200, body: toAppObject(app) };
}

async function remove({ tenant, params }: Call<unknown, unknown>): Promise<Answer> {
  await tenant.runtime.apps.remove(params.app ?? "");
  return { status: 204 };
}

async function timelines(call: Call<z.output<typeof pageQuery>, unknown>): Promise<Answer> {
  const { tenant, params, query, url } = call;
  const found = await tenant.runtime.apps.timelines(params.app ?? "");
  const items = found.map((timeline) => ({ id: timeline.slug, createdAt: timeline.updatedAt ?? 0, timeline }));
  return answerPage(items, query, url, ({ timeline }) => toTimelineObject(timeline, domainsOf(call, timeline)));
}

type LogsCall = Call<z.output<typeof logsQuery>, unknown>;

async function logs(call: LogsCall): Promise<Answer> {
  const { tenant, params, query, url, signal } = call;
  if (query.stream) return streamOfLogs(call);
  const { start: since, end: until, revision_id: revision, limit } = query;
  const options = { since, signal, ...defined({ until, revision }) };
  const wanted = (await tenant.runtime.apps.logs(params.app ?? "", options)).filter((line) => fits(line, query));
  const from = query.cursor === undefined ? 0 : readCursor(query.cursor, wanted);
  const page = wanted.slice(from, from + limit);
  const items = page.map(toLogObject);
  if (from + limit >= wanted.length) return { status: 200, body: { logs: items, next_cursor: null } };
  const next = new URL(url);
  const cursor = writeCursor(wanted, from + limit);
  next.searchParams.set("cursor", cursor);
  const body = { logs: items, next_cursor: cursor };
  return { status: 200, body, headers: { link: `<${next.href}>; rel="next"` } };
}

async function streamOfLogs({ tenant, params, query, ending }: LogsCall): Promise<Answer> {
  const { start: since, end: until, revision_id: revision } = query;
  // Looked for before the stream begins: what is not there is a plain 404.
  const { id } = await tenant.runtime.apps.get(params.app ?? "");
  const read = async (from: number): Promise<AppLogLine[]> =>
    tenant.runtime.apps.logs(id, { since: from, signal: ending, ...defined({ until, revision }) });
  const lines = streamLogs(read, { since, until, now: () => Date.now(), signal: ending });
  return streamAnswer(wantedOf(lines, query), "lines");
}

async function* wantedOf(lines: AsyncIterable<AppLogLine>, query: LogsCall["query"]): AsyncIterable<unknown> {
  for await (const line of lines) if (fits(line, query)) yield toLogObject(line);
}

function fits({ level, message }: AppLogLine, query: z.output<typeof logsQuery>): boolean {
  if (query.level !== undefined && LEVELS.indexOf(level) < LEVELS.indexOf(query.level)) return false;
  return query.query === undefined || message.toLowerCase().includes(query.query.toLowerCase());
}

/** A time, and how many lines of that time were given already: lines that are added do not move it. */
function writeCursor(lines: readonly AppLogLine[], at: number): string {
  const time = lines[at]?.time ?? 0;
  const first = lines.findIndex((line) => line.time === time);
  return Buffer.from(JSON.stringify([time, at - first])).toString("base64url");
}

const cursorSchema = z.tuple([z.number(), z.int().min(0)]);

function readCursor(text: string, lines: readonly AppLogLine[]): number {
  try {
    const [time, skip] = cursorSchema.parse(JSON.parse(Buffer.from(text, "base64url").toString("utf8")));
    const first = lines.findIndex((line) => line.time >= time);
    return first === -1 ? lines.length : first + skip;
  } catch {
    throw new ApiError("INVALID_REQUEST", "the cursor is not one that this server gave out");
  }
}

export const APP_ROUTES: readonly Route[] = [
  route({
    ...{ method: "GET", path: "/api/v2/apps", summary: "Apps, the latest change first", scope: "read" },
    query: listQuery,
    success: { status: 200, schema: z.array(appObject) },
    errors: [],
    handle: list,
  }),
  route({
    ...{ method: "POST", path: "/api/v2/apps", summary: "Make an app", scope: "apps" },
    body: createAppBody,
    success: { status: 201, schema: appObject },
    errors: ["SLUG_ALREADY_IN_USE", "LAYER_NOT_FOUND", "QUOTA_EXCEEDED"],
    handle: create,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/apps/:app", summary: "One app, by id or slug", scope: "read" },
    success: { status: 200, schema: appObject },
    errors: ["APP_NOT_FOUND"],
    handle: get,
  }),
  route({
    ...{ method: "PATCH", path: "/api/v2/apps/:app", summary: "Change an app", scope: "apps" },
    body: updateAppBody,
    success: { status: 200, schema: appObject },
    errors: ["APP_NOT_FOUND", "LAYER_NOT_FOUND", "SLUG_ALREADY_IN_USE"],
    handle: update,
  }),
  route({
    ...{ method: "DELETE", path: "/api/v2/apps/:app", summary: "Remove an app with its revisions", scope: "apps" },
    success: { status: 204, schema: null },
    errors: ["APP_NOT_FOUND"],
    handle: remove,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/apps/:app/timelines", summary: "Where an app is active", scope: "read" },
    query: pageQuery,
    success: { status: 200, schema: z.array(timelineObject) },
    errors: ["APP_NOT_FOUND"],
    handle: timelines,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/apps/:app/logs", summary: "What an app's programs said", scope: "read" },
    query: logsQuery,
    success: { status: 200, schema: logsObject, lines: logObject },
    errors: ["APP_NOT_FOUND"],
    handle: logs,
  }),
];
