/**
 * The counters of a running sandbox, in its directory: written every few seconds, without waiting for the disk, so that
 * what a supervisor knew can be counted when it was killed.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import type { SandboxCounters } from "../../metering/amounts.ts";
import type { SandboxSample } from "./meter-store.ts";

export const METER_FILE = "meter.json";
/** Longer than any content: what is written replaces what is there as a whole (one write, below a page). */
const FILE_BYTES = 512;

const amount = z.number().min(0);
const counters = z.object({ cpuMs: amount, memoryByteHours: amount, sentBytes: amount, receivedBytes: amount });
const contentSchema = z.object({ at: amount, counters });

export class MeterFile implements Disposable {
  readonly #path: string;
  #file: number | undefined;

  constructor(directory: string) {
    this.#path = path.join(directory, METER_FILE);
  }

  /** Never throws: a sandbox lives on a full disk, too. */
  write(at: number, counters: SandboxCounters): void {
    try {
      this.#file ??= openSync(this.#path, "w", 0o600);
      writeSync(this.#file, JSON.stringify({ at, counters }).padEnd(FILE_BYTES), 0);
    } catch {
      // What is there stays, and what is lost is what was used since then, if the supervisor is killed as well.
    }
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** Undefined where there is none, or no whole one. */
export function readMeterFile(directory: string): Pick<SandboxSample, "at" | "counters"> | undefined {
  try {
    const text = readFileSync(path.join(directory, METER_FILE), "utf8").slice(0, FILE_BYTES);
    return contentSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
