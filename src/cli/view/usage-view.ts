/** What sandboxes use, as a table and JSON. Names of processes are the guest's: the table escapes them. */
import type { BusyProcess } from "../../runtime/watching.ts";
import type { MeasuredSandbox } from "../top/usage-rates.ts";
import { humanSize } from "../output/human.ts";
import { jsonLine } from "../output/json-line.ts";
import { renderTable, type Column } from "../output/table.ts";
import type { Palette } from "../output/palette.ts";

interface UsageColumn extends Column {
  cell: (measured: MeasuredSandbox) => string;
  /** Left out first where there is no room, the highest number before others; 0 stays. */
  spare: number;
}

const UNKNOWN = "-";
/** Of 1,000 processors, and some for what two clocks disagree about. */
const MAX_PERCENT = 200_000;

const COLUMNS: readonly UsageColumn[] = [
  { title: "SANDBOX", minWidth: 8, spare: 0, cell: ({ sandbox }) => sandbox.name ?? sandbox.id },
  { title: "CPU", spare: 0, cell: ({ sandbox, rates }) => cpuText(sandbox.status, rates.guestCpuPercent) },
  { title: "HOST CPU", spare: 3, cell: ({ rates }) => percent(rates.hostCpuPercent) },
  { title: "MEMORY", spare: 0, cell: memoryText },
  { title: "HOST MEM", spare: 2, cell: ({ sandbox: { usage } }) => bytes(usage?.host.memoryBytes) },
  { title: "DISK", spare: 4, cell: ({ sandbox: { usage } }) => bytes(usage?.disk.layerBytes) },
  { title: "READ/s", spare: 0, cell: ({ rates }) => bytes(rates.readBytesPerSecond) },
  { title: "WRITE/s", spare: 0, cell: ({ rates }) => bytes(rates.writtenBytesPerSecond) },
  { title: "IN/s", spare: 0, cell: ({ rates }) => bytes(rates.receivedBytesPerSecond) },
  { title: "OUT/s", spare: 0, cell: ({ rates }) => bytes(rates.sentBytesPerSecond) },
  { title: "REQ/s", spare: 5, cell: ({ rates }) => number(rates.requestsPerSecond) },
  { title: "PROCS", spare: 1, cell: ({ sandbox: { usage } }) => String(usage?.guest?.processes ?? UNKNOWN) },
];

export interface UsageDisplay {
  palette: Palette;
  /** Columns of the terminal; absent where there is none, and nothing is left out. */
  width: number | undefined;
}

/** The sandboxes, and below them the processes of the one that they were asked of. */
export function usageTables(measured: readonly MeasuredSandbox[], display: UsageDisplay): string {
  const [only] = measured;
  const busiest = measured.length === 1 ? (only?.sandbox.usage?.guest?.busiest ?? []) : [];
  const table = usageTable(measured, display);
  return busiest.length === 0 ? table : `${table}\n\n${processTable(busiest, display)}`;
}

/** One row a sandbox, with as many columns as there is room for. */
function usageTable(measured: readonly MeasuredSandbox[], { palette, width }: UsageDisplay): string {
  let columns = [...COLUMNS];
  for (;;) {
    const rows = measured.map((one) => columns.map(({ cell }) => cell(one)));
    const full = renderTable(columns, rows);
    const widest = Math.max(...full.split("\n").map((line) => line.length));
    const spare = Math.max(...columns.map((column) => column.spare));
    if (width === undefined || widest <= width || spare === 0) return renderTable(columns, rows, { palette, width });
    columns = columns.filter((column) => column.spare !== spare);
  }
}

const PROCESS_COLUMNS: readonly Column[] = [
  { title: "PID" },
  { title: "UID" },
  { title: "CPU" },
  { title: "MEMORY" },
  { title: "STATE" },
  { title: "PROCESS", minWidth: 8 },
];

/** The guest's busiest processes. */
function processTable(processes: readonly BusyProcess[], display: UsageDisplay): string {
  const rows = processes.map(({ pid, uid, cpuMs, windowMs, memoryBytes, state, name }) => [
    ...[String(pid), String(uid), percent(windowMs > 0 ? (cpuMs / windowMs) * 100 : null)],
    ...[bytes(memoryBytes), state, name],
  ]);
  return renderTable(PROCESS_COLUMNS, rows, display);
}

/** One document a refresh, on one line. */
export function usageJson(measured: readonly MeasuredSandbox[], nowMs: number): string {
  const sandboxes = measured.map(({ sandbox, rates }) => {
    const { usage, startedAt, ...rest } = sandbox;
    const iso = startedAt === null ? null : new Date(startedAt).toISOString();
    if (usage === null) return { ...rest, startedAt: iso, usage: null, rates };
    const { at, ...figures } = usage;
    return { ...rest, startedAt: iso, usage: { at: new Date(at).toISOString(), ...figures }, rates };
  });
  return jsonLine({ time: new Date(nowMs).toISOString(), sandboxes });
}

function cpuText(status: string, value: number | null): string {
  return status === "running" ? percent(value) : status;
}

function memoryText({ sandbox: { usage, memoryBytes } }: MeasuredSandbox): string {
  const used = usage?.guest?.memoryUsedBytes;
  return `${used === undefined ? UNKNOWN : humanSize(used)}/${humanSize(usage?.guest?.memoryTotalBytes ?? memoryBytes)}`;
}

function percent(value: number | null): string {
  // No machine has so many processors: a guest that lies.
  if (value === null || value > MAX_PERCENT) return UNKNOWN;
  return `${value >= 9.95 ? Math.round(value) : value.toFixed(1)}%`;
}

function bytes(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : humanSize(Math.round(value));
}

function number(value: number | null): string {
  if (value === null) return UNKNOWN;
  return value >= 9.95 || value === 0 ? String(Math.round(value)) : value.toFixed(1);
}
