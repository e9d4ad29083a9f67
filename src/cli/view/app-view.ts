/** Apps, their variables and revisions as text and JSON. */
import type {
  AppInfo,
  AppLogLine,
  BuildLogLine,
  EnvVariable,
  InstanceSettings,
  RevisionInfo,
  TimelineInfo,
} from "../../runtime/apps.ts";
import { escapeText } from "../output/escape.ts";
import { humanDuration, humanSize, humanTime } from "../output/human.ts";
import { jsonLine } from "../output/json-line.ts";
import type { Palette } from "../output/palette.ts";
import type { Column } from "../output/table.ts";

export const APP_COLUMNS: readonly Column[] = [
  ...[{ title: "NAME", minWidth: 8 }, { title: "LAYERS" }, { title: "VARIABLES" }, { title: "CHANGED" }],
  { title: "ID", minWidth: 12 },
];

export const REVISION_COLUMNS: readonly Column[] = [
  ...[{ title: "REVISION", minWidth: 12 }, { title: "STATUS" }, { title: "ACTIVE IN" }, { title: "SIZE" }],
  ...[{ title: "CREATED" }, { title: "WHY", minWidth: 12 }],
];

export const VARIABLE_COLUMNS: readonly Column[] = [
  ...[{ title: "NAME", minWidth: 8 }, { title: "VALUE", minWidth: 8 }, { title: "CONTEXTS" }],
];

export function appRow({ slug, layers, env, updatedAt, id }: AppInfo, nowMs: number): string[] {
  const names = layers.map((layer) => layer.slug).join(", ");
  return [slug, names === "" ? "-" : names, String(env.length), `${humanDuration(nowMs - updatedAt)} ago`, id];
}

export function appFields(app: AppInfo, timelines: readonly TimelineInfo[], nowMs: number): [string, string][] {
  const { runtime, framework, install, build, predeploy } = app.config;
  const program =
    runtime?.type === "static" ? `static files of ${runtime.cwd ?? "."}` : (runtime?.entrypoint ?? framework ?? "-");
  return [
    ["Name", app.slug],
    ["ID", app.id],
    ["Program", program === "" ? "-" : program],
    ["Install", install ?? "-"],
    ["Build", build ?? "-"],
    ["Before a deployment", predeploy ?? "-"],
    ["Layers", app.layers.map(({ slug }) => slug).join(", ") || "-"],
    ["Labels", labelsText(app.labels)],
    ["Variables", app.env.map(({ key }) => key).join(", ") || "-"],
    ["Instances", instancesText(app.instances)],
    ...timelines.map(({ slug, revision }): [string, string] => [`Active in ${slug}`, revision ?? "?"]),
    ["Created", humanTime(app.createdAt, nowMs)],
    ["Changed", humanTime(app.updatedAt, nowMs)],
  ];
}

export function appJson(app: AppInfo): Record<string, unknown> {
  return { ...app, createdAt: iso(app.createdAt), updatedAt: iso(app.updatedAt) };
}

export function variableRow({ key, value, contexts }: EnvVariable): string[] {
  return [key, value ?? "(secret)", contexts === "all" ? "all" : contexts.join(", ")];
}

export function revisionRow(revision: RevisionInfo, timelines: readonly TimelineInfo[], nowMs: number): string[] {
  const { id, status, content, createdAt, failure, failureReason } = revision;
  const active = timelines.filter((timeline) => timeline.revision === id).map(({ slug }) => slug.split("/")[0] ?? slug);
  return [
    ...[id, failureReason === "cancelled" ? "cancelled" : status, active.join(", ") || "-"],
    ...[content === null ? "-" : humanSize(content.bytes), `${humanDuration(nowMs - createdAt)} ago`, failure ?? "-"],
  ];
}

export function revisionJson(revision: RevisionInfo): Record<string, unknown> {
  const { createdAt, cancelRequestedAt, finishedAt } = revision;
  const times = { createdAt: iso(createdAt), cancelRequestedAt: iso(cancelRequestedAt), finishedAt: iso(finishedAt) };
  return { ...revision, ...times };
}

/** A line of a build: some of them are a guest's words. */
export function buildLine({ step, level, message }: BuildLogLine, palette: Palette): string {
  const text = escapeText(message);
  return `${palette.dim(step.padEnd("installing".length))}  ${level === "error" ? palette.warning(text) : text}`;
}

export function appLogLine({ time, level, message, revision }: AppLogLine, palette: Palette): string {
  const text = escapeText(message);
  return `${palette.dim(`${iso(time)} ${revision}`)}  ${level === "error" ? palette.warning(text) : text}`;
}

export function appLogJson(line: AppLogLine): string {
  return jsonLine({ ...line, time: iso(line.time) });
}

function instancesText(settings: InstanceSettings | null): string {
  if (settings === null) return "as the server has it";
  const { idleMs, concurrency, instances } = settings;
  return `up to ${instances}, each for ${concurrency} requests and ${humanDuration(idleMs)} beyond the last one`;
}

function labelsText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? "-" : pairs.join(", ");
}

function iso(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
