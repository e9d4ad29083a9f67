/** Sandboxes as text and JSON. Labels and details may be anybody's words; the table escapes what goes through it. */
import type { SandboxDisk, SandboxInfo, StopReason } from "../../runtime/types.ts";
import { humanDuration, humanRest, humanSize, humanTime } from "../output/human.ts";
import type { Column } from "../output/table.ts";
import { formatSize } from "../parsers/size.ts";
import type { Palette } from "../output/palette.ts";

export const REASONS: Readonly<Record<StopReason, string>> = {
  killed: "killed",
  expired: "expired",
  session_ended: "session ended",
  budget_exceeded: "budget used up",
  out_of_memory: "out of memory",
  guest_shutdown: "shut down by the guest",
  crashed: "crashed",
  start_failed: "did not start",
};

/** Why a sandbox stopped, in a few words and a sentence. */
export function describeReason(info: SandboxInfo): string {
  const reason = info.reason === null ? "for an unknown reason" : REASONS[info.reason];
  return info.detail === null ? reason : `${reason}: ${info.detail}`;
}

export const SANDBOX_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "NAME", minWidth: 6 },
  { title: "CREATED" },
  // "out of memory" is not cut.
  { title: "STATUS", minWidth: 13, paint: paintStatus },
  { title: "UPTIME" },
  { title: "EXPIRES" },
];

function diskField({ kind, name, path, access }: SandboxDisk): [string, string] {
  if (path === "/") return ["Root", `${kind} ${name}${kind === "snapshot" ? " (what it writes goes with it)" : ""}`];
  return ["Volume", `${name} at ${path}${access === "read-only" ? " (read-only)" : ""}`];
}

function paintStatus(palette: Palette, cell: string): string {
  if (cell.startsWith("running")) return palette.good(cell);
  const failed = cell.startsWith("failed") || cell.trimEnd() === REASONS.start_failed;
  return failed ? palette.bad(cell) : palette.dim(cell);
}

/**
 * A row of `list`.
 *
 * @param brief says only why a sandbox stopped and only `session` where one keeps it, since there is no room for more
 */
export function sandboxRow(info: SandboxInfo, nowMs: number, brief = false): string[] {
  return [
    info.id,
    info.name ?? "-",
    `${humanDuration(nowMs - info.createdAt)} ago`,
    brief && info.reason !== null && info.stoppedAt !== null ? REASONS[info.reason] : statusText(info),
    uptimeText(info, nowMs),
    expiryText(info, nowMs, brief),
  ];
}

function statusText(info: SandboxInfo): string {
  return info.reason === null ? info.status : `${info.status} (${REASONS[info.reason]})`;
}

function uptimeText(info: SandboxInfo, nowMs: number): string {
  if (info.startedAt === null) return "-";
  return humanDuration((info.stoppedAt ?? nowMs) - info.startedAt);
}

function expiryText(info: SandboxInfo, nowMs: number, brief = false): string {
  if (info.stoppedAt !== null || info.status === "stopped" || info.status === "failed") return "-";
  if (info.expiresAt === null) return brief ? "session" : "with its session";
  return info.expiresAt > nowMs ? `in ${humanRest(info.expiresAt - nowMs)}` : "now";
}

/** Everything that is known, for `inspect`. */
export function sandboxFields(info: SandboxInfo, nowMs: number): [string, string][] {
  const at = (ms: number | null): string => (ms === null ? "" : humanTime(ms, nowMs));
  const stopped = info.status === "stopped" || info.status === "failed";
  return [
    ["ID", info.id],
    ["Name", info.name ?? ""],
    ["Status", info.status],
    ["Reason", info.reason === null ? "" : describeReason(info)],
    ["Image", info.image.name === null ? info.image.id : `${info.image.name} (${info.image.id.slice(0, 12)})`],
    ["Memory", formatSize(info.memoryBytes)],
    ["CPUs", String(info.cpus)],
    ["Disk", humanSize(info.diskBytes)],
    ...(info.disks ?? []).map((disk): [string, string] => diskField(disk)),
    ["Region", info.region],
    ["Accelerator", info.accelerator ?? ""],
    ["Created", at(info.createdAt)],
    ["Started", at(info.startedAt)],
    ["Stopped", at(info.stoppedAt)],
    ["Uptime", uptimeText(info, nowMs)],
    ["Expires", stopped ? "" : `${at(info.expiresAt)} (${expiryText(info, nowMs)})`.replace(/^ \((.*)\)$/, "$1")],
    [
      "Labels",
      Object.entries(info.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(", "),
    ],
    ["Supervisor", info.supervisorPid === null ? "" : `process ${info.supervisorPid}`],
    ["VM", info.vmPid === null ? "" : `process ${info.vmPid}`],
  ];
}

/** The same for programs: times as ISO 8601 in UTC, everything else as it is. */
export function sandboxJson(info: SandboxInfo): Record<string, unknown> {
  const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  return {
    ...info,
    createdAt: iso(info.createdAt),
    startedAt: iso(info.startedAt),
    stoppedAt: iso(info.stoppedAt),
    expiresAt: iso(info.expiresAt),
  };
}
