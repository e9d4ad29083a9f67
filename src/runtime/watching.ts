/**
 * Looking at sandboxes while they run, as it crosses the Runtime interface: what happened, what is being used, what they
 * say. Some of the texts are the guest's.
 */
import type { EventDetail, EventRecord, EventType } from "../protocol/event-record.ts";
import type { ProcessStream } from "../protocol/line-records.ts";
import type { BusyProcess, UsageAnswer } from "../protocol/usage-calls.ts";
import type { CallOptions, SandboxStatus } from "./types.ts";

export { EVENT_TYPES } from "../protocol/event-record.ts";
export type { BusyProcess, EventDetail, EventRecord, EventType, ProcessStream };

export const LOG_SOURCES = ["supervisor", "console", "vm", "process"] as const;
export type LogSource = (typeof LOG_SOURCES)[number];

export interface LogLine {
  /** Epoch ms; `null` for the rare line whose time nobody knows. */
  time: number | null;
  source: LogSource;
  text: string;
  /** Of the source `process`: which one, and which of its outputs; `event` is what sbx says of it. */
  process?: { pid: number; stream: ProcessStream };
}

export interface LogOptions extends CallOptions {
  /** Goes on until the sandbox is over. */
  follow?: boolean;
  /** Only so many of the last lines that fit the rest. */
  tail?: number;
  /** All of them if absent. */
  sources?: readonly LogSource[];
  /** Epoch ms. A line whose time nobody knows counts as written with the one before it. */
  since?: number;
}

export interface EventOptions extends CallOptions {
  /** Goes on until the signal. Without `after`, `since` and `tail` it begins with what happens next. */
  follow?: boolean;
  /** Only those of one sandbox: its id or name; also of one that is forgotten by now. */
  sandbox?: string;
  types?: readonly EventType[];
  /** Only those behind the event of this number. */
  after?: number;
  /** Epoch ms, inclusive. Following ends at `until`. */
  since?: number;
  until?: number;
  /** Only so many of the last ones. */
  tail?: number;
}

export interface UsageOptions extends CallOptions {
  /** Only this one: id, name, or the beginning of either. */
  sandbox?: string;
  /** As many of the guest's busiest processes; none if absent. */
  processes?: number;
}

/** What one sandbox uses. Counters only grow; two of them make a rate. */
export interface SandboxUsage {
  id: string;
  name: string | null;
  status: SandboxStatus;
  cpus: number;
  memoryBytes: number;
  startedAt: number | null;
  /** `null` where the sandbox's supervisor does not answer. */
  usage: UsageAnswer | null;
}
