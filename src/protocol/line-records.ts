/**
 * Logs of what the guest says: one JSON object a line, each with the time at which some whole lines of text came. The
 * console's and QEMU's have no more than that; the log of processes in the background (`process.log`) tells which process
 * and which of its outputs it was. The supervisor writes them; the texts are the guest's.
 */

export const PROCESS_LOG_NAME = "process.log";
export const PREVIOUS_PROCESS_LOG_NAME = "process.log.1";

/** Longest text of one record, `chars`. */
export const MAX_BLOCK_CHARS = 8 * 1024;
/** Longest record: JSON writes a control character as six, `chars`. */
export const MAX_RECORD_CHARS = 6 * MAX_BLOCK_CHARS + 256;

/** `event`: what the supervisor says of the process: that it started, how it ended. */
export type ProcessStream = "stdout" | "stderr" | "event";

export interface LineRecord {
  /** Epoch `ms`. */
  time: number;
  /** One or more lines, without the last line feed. */
  text: string;
  process?: { pid: number; stream: ProcessStream };
}

export function encodeLineRecord({ time, text, process }: LineRecord): string {
  return `${JSON.stringify(process === undefined ? { time, text } : { time, text, ...process })}\n`;
}

/** `undefined` for a line that a full disk or a killed writer damaged, or that is no record. */
export function parseLineRecord(line: string): LineRecord | undefined {
  try {
    const { time, text, pid, stream } = JSON.parse(line) as Record<string, unknown>;
    if (typeof time !== "number" || typeof text !== "string") return undefined;
    if (typeof pid !== "number" || !isStream(stream)) return { time, text };
    return { time, text, process: { pid, stream } };
  } catch {
    return undefined;
  }
}

function isStream(value: unknown): value is ProcessStream {
  return value === "stdout" || value === "stderr" || value === "event";
}
