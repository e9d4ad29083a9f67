/** Lines of `sbx net log`. Hosts, methods and URLs are the guest's words: escaped, whatever they are printed to. */
import type { AuditEvent } from "../../runtime/network.ts";
import { displayWidth, truncate } from "../output/display-width.ts";
import { escapeLine } from "../output/escape.ts";
import { humanSize } from "../output/human.ts";
import type { Palette } from "../output/palette.ts";
import { targetText } from "./network-view.ts";

interface Display {
  palette: Palette;
  width: number | undefined;
}

/** Such as `14:05:09 allow GET https://api.example.com/v1 200 1.2 KiB 34ms` or `14:05:09 deny  dns x.example: …`. */
export function auditLine(event: AuditEvent, { palette, width = Number.POSITIVE_INFINITY }: Display): string {
  const time = clock(event.time);
  const verdict = event.verdict.padEnd("allow".length);
  const room = Math.max(1, width - displayWidth(`${time} ${verdict} `));
  const rest = truncate(escapeLine(describeEvent(event)), room);
  return `${palette.dim(time)} ${event.verdict === "allow" ? palette.good(verdict) : palette.bad(verdict)} ${rest}`;
}

/** One JSON object a line, its time as ISO 8601. Of controls JSON escapes C0 only, and terminals obey C1 as well. */
export function auditJson(event: AuditEvent): string {
  const line = JSON.stringify({ ...event, time: new Date(event.time).toISOString() });
  return line.replace(/[\u007f-\u009f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`);
}

function describeEvent(event: AuditEvent): string {
  const { reason, error } = event;
  // What was put into a request; of a change, what it is about.
  const mark = event.kind === "change" ? "" : "+";
  const details = [...measures(event), ...(event.secrets ?? []).map((name) => `${mark}${name}`)];
  const said = event.verdict === "deny" || event.kind === "change" ? reason : undefined;
  const why = [said, error].filter((text) => text !== undefined).join("; ");
  const head = [subject(event), ...details].filter((word) => word !== "").join(" ");
  return why === "" ? head : `${head}: ${why}`;
}

function subject(event: AuditEvent): string {
  const { kind, host = "", port, method, url, via } = event;
  if (url !== undefined) return `${kind === "request" ? "" : `${kind} `}${method ?? ""} ${url}`.trim();
  const target = host === "" ? "" : targetText(host, kind === "dns" ? null : port);
  const how = via === undefined || via === "resolver" ? kind : via;
  return `${how} ${target}`.trim();
}

function measures({ status, sentBytes = 0, receivedBytes = 0, ms }: AuditEvent): string[] {
  const bytes = sentBytes + receivedBytes;
  return [
    status === undefined ? "" : String(status),
    bytes === 0 ? "" : humanSize(bytes),
    ms === undefined ? "" : `${Math.round(ms)}ms`,
  ];
}

/** In the user's time zone; a day is as long as a log is kept. */
function clock(epochMs: number): string {
  const time = new Date(epochMs);
  if (Number.isNaN(time.getTime())) return "--:--:--";
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}
