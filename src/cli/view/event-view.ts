/** Events as text and JSON. Names and reasons in them may be anybody's words: escaped, whatever they are printed to. */
import type { StopReason } from "../../runtime/types.ts";
import type { EventRecord } from "../../runtime/watching.ts";
import { displayWidth, truncate } from "../output/display-width.ts";
import { escapeLine } from "../output/escape.ts";
import { humanSize, humanTime } from "../output/human.ts";
import { jsonLine } from "../output/json-line.ts";
import type { Palette } from "../output/palette.ts";
import { REASONS } from "./sandbox-view.ts";

const TYPE_WIDTH = "checkpoint.created".length;

export interface EventDisplay {
  palette: Palette;
  /** Columns of the terminal; absent where there is none. */
  width: number | undefined;
  /** Epoch `ms`. */
  now: number;
}

/** Such as `14:05:09 sandbox.stopped    web: killed`. */
export function eventLine(event: EventRecord, { palette, width = Infinity, now }: EventDisplay): string {
  const time = humanTime(event.time, now);
  const type = event.type.padEnd(TYPE_WIDTH);
  const rest = truncate(escapeLine(describe(event, now)), Math.max(1, width - displayWidth(`${time} ${type} `)));
  return `${palette.dim(time)} ${paint(event, palette, type)} ${rest}`.trimEnd();
}

/** One JSON object a line; its time as ISO 8601. The form is docs/events.md's. */
export function eventJson(event: EventRecord): string {
  return jsonLine({ ...event, time: new Date(event.time).toISOString() });
}

function paint({ type, detail }: EventRecord, palette: Palette, text: string): string {
  const isBad = type === "sandbox.failed" || detail.reason === "crashed" || detail.reason === "out_of_memory";
  if (isBad) return palette.bad(text);
  return type === "sandbox.running" || type.endsWith(".created") ? palette.good(text) : text;
}

function describe({ type, sandbox, subject, detail }: EventRecord, now: number): string {
  const who = sandbox === null ? "" : (sandbox.name ?? sandbox.id);
  const about = subject?.name ?? "";
  const target =
    about !== "" && who !== "" ? `${about} ${type === "volume.detached" ? "from" : "to"} ${who}` : about + who;
  const more = DETAILS[type.split(".")[0] ?? ""]?.(type, detail, now) ?? "";
  return more === "" ? target : `${target}: ${more}`;
}

type Detail = EventRecord["detail"];

/** What else there is to say, by what it is about. */
const DETAILS: Readonly<Record<string, (type: string, detail: Detail, now: number) => string>> = {
  sandbox: (type, detail, now) => {
    if (type === "sandbox.created") return words([text(detail.image), size(detail.memoryBytes), cpus(detail.cpus)]);
    if (type === "sandbox.running" || type === "sandbox.extended") return until(detail.expiresAt, now);
    if (type === "sandbox.forked") return list(detail.copies);
    return words([reason(detail.reason), text(detail.detail)]);
  },
  process: (type, detail) => {
    const process = `${text(detail.program)} (${text(detail.pid)})`;
    if (type === "process.started") return `${process} as ${text(detail.user)}`;
    const memory = detail.outOfMemory === true ? ", out of memory" : "";
    const end = detail.signal === null ? `status ${text(detail.code)}` : text(detail.signal);
    return `${process} ${end}${memory}`;
  },
  volume: (_, detail) => words([text(detail.path), text(detail.access), size(detail.capacityBytes)]),
  snapshot: (_, detail) => words([text(detail.source), text(detail.of)], " "),
  secret: (_, detail) => list(detail.names),
};

function text(value: Detail[string] | undefined): string {
  return value === undefined || value === null ? "" : String(value);
}

function words(parts: readonly string[], separator = ", "): string {
  return parts.filter((part) => part !== "").join(separator);
}

function list(value: Detail[string] | undefined): string {
  return Array.isArray(value) ? value.join(", ") : "";
}

function size(value: Detail[string] | undefined): string {
  return typeof value === "number" ? humanSize(value) : "";
}

function cpus(value: Detail[string] | undefined): string {
  return typeof value === "number" ? `${value} ${value === 1 ? "CPU" : "CPUs"}` : "";
}

function reason(value: Detail[string] | undefined): string {
  return typeof value === "string" && Object.hasOwn(REASONS, value) ? REASONS[value as StopReason] : text(value);
}

function until(value: Detail[string] | undefined, now: number): string {
  return typeof value === "number" ? `until ${humanTime(value, now)}` : "with its session";
}
